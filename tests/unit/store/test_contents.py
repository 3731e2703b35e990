"""The content of a Binary, read in parts from the JSON that it stands in."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.resources.contents import BlobContent, HeldContent, placed


class Blob:
    """Stands for GridFS: one blob, and how much of it was read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read = data, 0

    async def part(self, blob: str, start: int, end: int) -> bytes:
        part = self.data[start:end]
        self.read += len(part)
        return part


def stored(data: bytes, **more: Any) -> tuple[Blob, dict[str, Any]]:
    """Return a Binary's JSON as a blob, and where its content stands."""
    binary = {"resourceType": "Binary", **more, "data": base64.b64encode(data).decode(), "contentType": "a/b"}
    text = json.dumps(binary, separators=(",", ":")).encode()
    place = placed(text, binary)
    assert place is not None
    return Blob(text), place


@given(data=st.binary(min_size=1, max_size=300), first=st.integers(0, 299), length=st.integers(1, 300))
async def test_a_part_is_the_same_as_of_the_whole(data: bytes, first: int, length: int) -> None:
    """Any part of a content in a blob is that part of the bytes, and no more is read than its groups of base64."""
    blob, place = stored(data, id="x", extension=[{"url": "u", "valueBase64Binary": "AAAA"}])
    content = BlobContent(blob, "b", place["start"], place["size"])  # type: ignore[arg-type]
    assert content.size == len(data)
    first = min(first, len(data) - 1)
    last = min(first + length, len(data)) - 1
    assert await content.part(first, last) == data[first : last + 1]
    assert blob.read <= (last - first + 1) // 3 * 4 + 8
    assert b"".join([piece async for piece in content.pieces()]) == data


def test_the_outline_is_the_resource_without_its_content() -> None:
    """What stands around the content is kept beside it."""
    blob, place = stored(b"hello world", id="x", securityContext={"reference": "Patient/1"})
    outline = json.loads(place["outline"])
    assert outline == {**json.loads(blob.data), "data": ""}


@pytest.mark.parametrize("text", ["", None, "aGVs\nbG8h", " aGVsbG8h", "aGVsbG8", 7])
def test_a_text_with_other_characters_has_no_places(text: Any) -> None:
    """Base64 with white space, or none at all, is read as a whole."""
    binary = {"resourceType": "Binary", "data": text}
    assert placed(json.dumps(binary, separators=(",", ":")).encode(), binary) is None


def test_a_content_that_cannot_be_read_is_empty() -> None:
    """What is no base64 says no bytes."""
    assert (HeldContent.of("?").size, HeldContent.of(None).size, HeldContent.of("eA==").data) == (0, 0, b"x")
