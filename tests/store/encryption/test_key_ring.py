"""Sealed values open at their place only, whole, and by the keys of the database."""

from __future__ import annotations

import base64
import os

import pytest
from bson.binary import Binary
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.encryption.key_ring import OVERHEAD, SEALED, KeyRing, Unreadable, is_sealed, key_number
from fhir_server.store.encryption.key_services import OwnKey, WrongKey, read_key
from fhir_server.store.encryption.sealed_files import SealedFiles

RING = KeyRing({1: bytes(32)}, 1, bytes(32))


@given(st.binary(max_size=100), st.text(max_size=20))
def test_what_is_sealed_opens_at_its_place(value: bytes, place: str) -> None:
    """And nowhere else: rows cannot be swapped."""
    sealed = RING.seal(value, place)
    assert is_sealed(sealed)
    assert len(sealed) == len(value) + OVERHEAD
    assert RING.open(sealed, place) == value
    with pytest.raises(Unreadable):
        RING.open(sealed, f"{place}x")


@given(st.data())
def test_what_was_changed_does_not_open(data: st.DataObject) -> None:
    """Neither with a bit turned over, nor cut off."""
    sealed = bytes(RING.seal(b"value", "place"))
    position = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytes(byte ^ (1 if number == position else 0) for number, byte in enumerate(sealed))
    for wrong in (changed, sealed[:position]):
        with pytest.raises(Unreadable):
            RING.open(Binary(wrong, SEALED), "place")


def test_a_key_that_is_gone_opens_nothing() -> None:
    """What was sealed by a key that was destroyed stays closed; other keys of the database go on."""
    newer = KeyRing({1: bytes(32), 2: os.urandom(32)}, 2, bytes(32))
    sealed = newer.seal(b"value", "place")
    assert key_number(sealed) == 2
    assert newer.open(RING.seal(b"older", "place"), "place") == b"older"
    with pytest.raises(Unreadable):
        RING.open(sealed, "place")


@given(st.binary(max_size=50))
def test_files_are_sealed_piece_by_piece(data: bytes) -> None:
    """Each piece opens at its number, and the last one as the last: a file cannot be cut off."""
    files = SealedFiles(RING, "blobs", 7)
    stored = files.sealed("name", data)
    pieces = [stored[start : start + files.chunk] for start in range(0, len(stored), files.chunk)]
    assert files.length(len(stored)) == len(data)
    opened = [files.open_piece("name", number, piece, len(stored)) for number, piece in enumerate(pieces)]
    assert b"".join(opened) == data
    if len(pieces) > 1:
        with pytest.raises(Unreadable):
            files.open_piece("name", len(pieces) - 2, pieces[-2], len(stored) - len(pieces[-1]))


async def test_another_key_unwraps_nothing() -> None:
    """The refusal says which key it was, and that nothing was changed."""
    wrapped = await OwnKey(bytes(32)).wrap(b"secret")
    assert await OwnKey(bytes(32)).unwrap(wrapped) == b"secret"
    with pytest.raises(WrongKey, match="Nothing was changed"):
        await OwnKey(os.urandom(32)).unwrap(wrapped)


def test_keys_are_read_in_each_of_their_spellings() -> None:
    """Bytes, hexadecimal, base64, with a line break behind; what is none is refused."""
    key = bytes(range(32))
    for text in (key, key.hex().encode(), base64.b64encode(key), key.hex().encode() + b"\n"):
        assert read_key(text) == key
    for wrong in (b"", b"short", b"g" * 64, base64.b64encode(key[:16])):
        with pytest.raises(ValueError, match="it "):
            read_key(wrong)
