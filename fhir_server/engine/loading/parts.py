"""What is loaded at a time: a JSON document, or some lines of NDJSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LINES_IN_A_PART = 400
LARGEST_PART = 4 * 1024 * 1024
"""Bytes of NDJSON after which a part ends early."""


@dataclass(frozen=True, slots=True)
class Part:
    """A JSON document, or some lines of NDJSON."""

    source: str
    """The file or URL that it is of."""
    key: str
    """What it is recorded under when it is loaded."""
    data: bytes
    first_line: int | None
    """Number of the first line in the source; None for a document."""
    size: int = 0
    """Bytes that the part takes of the file as it is on disk, for the progress bar."""


def chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines, as many at a time as make a part."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) == LINES_IN_A_PART or size >= LARGEST_PART:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
