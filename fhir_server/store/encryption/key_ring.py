"""The keys of an encrypted database, and sealing values by them: AES-256-GCM, each value bound to its place.

A sealed value is a version, what kind of value it is, the number of its key, a nonce, and the ciphertext with its tag.
All before the ciphertext, and the place, are authenticated: a value that was changed, or put into another row or field,
does not open. https://csrc.nist.gov/pubs/sp/800/38/d/final
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

import structlog
from bson.binary import Binary
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import Unavailable
from fhir_server.search.index.blind_keys import BlindKeys

log = structlog.get_logger(__name__)

SEALED = 0x81
"""The subtype of BSON's binary values (one of the user's own) that marks a sealed one."""
KEY_BYTES = 32
_VERSION = 1
_NONCE_BYTES = 12
_HEADER_BYTES = 6
OVERHEAD = _HEADER_BYTES + _NONCE_BYTES + 16
"""Bytes that sealing adds to a value."""


class Unreadable(Unavailable):
    """A value that no key of the database opens at its place: it was damaged, moved, or its key was destroyed."""

    def __init__(self, place: str) -> None:
        super().__init__("What is stored here cannot be opened: it was damaged or moved, or its key is gone.")
        log.error("encryption.unreadable", collection=place.partition("\x1f")[0])


class KeyRing:
    """The keys of a database: the data keys by number, of which `current` seals, and the secret of blind index keys."""

    def __init__(self, data: Mapping[int, bytes], current: int, index: bytes) -> None:
        self.renew(data, current)
        self.blind = BlindKeys(index)
        """How index keys are written."""
        self._index = index

    def renew(self, data: Mapping[int, bytes], current: int) -> None:
        """Go on with these data keys, and no others."""
        self._ciphers = {number: AESGCM(key) for number, key in data.items()}
        self.current = current

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the data keys."""
        return frozenset(self._ciphers)

    def seal(self, value: bytes, place: str, kind: int = 0) -> Binary:
        """Return the value sealed for a place."""
        header = bytes((_VERSION, kind)) + self.current.to_bytes(4, "big")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(nonce, value, header + place.encode())
        return Binary(header + nonce + sealed, SEALED)

    def open(self, sealed: bytes, place: str) -> bytes:
        """Return the value that was sealed for a place; raises Unreadable."""
        header, start = sealed[:_HEADER_BYTES], _HEADER_BYTES + _NONCE_BYTES
        cipher = self._ciphers.get(key_number(sealed))
        if cipher is None or header[:1] != bytes((_VERSION,)):
            raise Unreadable(place)
        try:
            return cipher.decrypt(sealed[_HEADER_BYTES:start], sealed[start:], header + place.encode())
        except (InvalidTag, ValueError) as error:
            raise Unreadable(place) from error

    def fingerprint(self, label: str, text: str) -> str:
        """Return a keyed hash of a text, by which equal ones can be found and nothing else."""
        message = f"{label}\x1f{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(message, key=self._index, digest_size=18, person=b"fingerprint").hexdigest()


def kind_of(sealed: bytes) -> int:
    """Return of what kind a sealed value is said to be."""
    return sealed[1]


def key_number(sealed: bytes) -> int:
    """Return the number of the key that a value was sealed by."""
    return int.from_bytes(sealed[2:_HEADER_BYTES], "big")


def is_sealed(value: object) -> bool:
    """Return whether a value that was read is a sealed one."""
    return value.__class__ is Binary and value.subtype == SEALED
