"""The part of a content that a Range header asks for. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)
_MOST_DIGITS = 18
"""Digits of any length that there is; Python refuses to read thousands."""


class ByteRange(NamedTuple):
    """The bytes from `first` to `last`, both included, of `size`."""

    first: int
    last: int
    size: int

    def of(self, content: bytes) -> bytes:
        """Return this part of the content."""
        return content[self.first : self.last + 1]

    @property
    def content_range(self) -> str:
        """The value of the Content-Range header."""
        return f"bytes {self.first}-{self.last}/{self.size}"


class OutsideContentError(Exception):
    """No byte of the content is in the range; `content_range` tells the content's size."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The range is outside of the content, which has {size} bytes.")
        self.content_range = f"bytes */{size}"


def byte_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range that a Range header asks for of a content; None where the whole is to be sent.

    That is so for what is not one range of bytes: several are answered with the whole, as the RFC allows. Raises
    OutsideContentError.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return _suffix(_number(match[2]), size)
    first, last = _number(match[1]), _number(match[2]) if match[2] else size
    if match[2] and last < first:
        return None  # not a range at all
    if first >= size:
        raise OutsideContentError(size)
    return ByteRange(first, min(last, size - 1), size)


def _suffix(length: int, size: int) -> ByteRange | None:
    if length == 0:
        raise OutsideContentError(size)
    # An empty content has its last bytes, all none of them, but no Content-Range could say so.
    return ByteRange(max(0, size - length), size - 1, size) if size else None


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MOST_DIGITS else int("9" * _MOST_DIGITS)
