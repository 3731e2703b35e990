"""The parts of a content that a Range header asks for. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from fhir_server.errors import RangeNotSatisfiable
from fhir_server.store.resources.contents import Content

_RANGES = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_MOST_DIGITS = 18
"""Digits of any length that there is; Python refuses to read thousands."""
_MOST_RANGES = 50
"""Ranges of one header; who asks for more gets the whole."""


class ByteRange(NamedTuple):
    """The bytes from `first` to `last`, both included, of `size`."""

    first: int
    last: int
    size: int

    @property
    def content_range(self) -> str:
        """The value of the Content-Range header."""
        return f"bytes {self.first}-{self.last}/{self.size}"


class OutsideContentError(Exception):
    """No byte of the content is in a range; `content_range` tells the content's size."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The range is outside of the content, which has {size} bytes.")
        self.content_range = f"bytes */{size}"


def byte_ranges(header: str | None, size: int) -> tuple[ByteRange, ...]:
    """Return the ranges that a Range header asks for of a content; none where the whole is to be sent.

    That is so for what is no set of ranges of bytes, and for more than 50. Ranges that overlap are one, so the parts
    are never more than the content. Raises OutsideContentError where the content has none of the ranges.
    """
    match = _RANGES.fullmatch((header or "").strip())
    if match is None or match[1].count(",") >= _MOST_RANGES:
        return ()
    matches = [_RANGE.fullmatch(text.strip()) for text in match[1].split(",") if text.strip()]
    bounds = [(each[1], each[2]) for each in matches if each is not None and (each[1] or each[2])]
    if not bounds or len(bounds) < len(matches) or not all(map(_is_ordered, bounds)):
        return ()
    ranges = [each for first, last in bounds if (each := _range(first, last, size)) is not None]
    if not ranges and size == 0 and any(not first and _number(last) for first, last in bounds):
        # An empty content has its last bytes, all none of them, but no Content-Range could say so.
        return ()
    if not ranges:
        raise OutsideContentError(size)
    return _joined(ranges)


def requested_ranges(header: str | None, size: int) -> tuple[ByteRange, ...]:
    """Return the same for an answer of the FHIR interface; raises RangeNotSatisfiable."""
    try:
        return byte_ranges(header, size)
    except OutsideContentError as error:
        refused = RangeNotSatisfiable(str(error))
        refused.headers |= {"Content-Range": error.content_range, "Accept-Ranges": "bytes"}
        raise refused from error


def _is_ordered(bounds: tuple[str, str]) -> bool:
    first, last = bounds
    return not (first and last) or _number(first) <= _number(last)


def _range(first: str, last: str, size: int) -> ByteRange | None:
    """Return the part of the content that is in the range; None where that is none."""
    if not first:
        length = min(_number(last), size)
        return ByteRange(size - length, size - 1, size) if length else None
    if _number(first) >= size:
        return None
    return ByteRange(_number(first), min(_number(last), size - 1) if last else size - 1, size)


def _joined(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    """Return the ranges with those that overlap made one, each in the place of its first."""
    groups: list[list[ByteRange]] = []
    end = 0
    for each in sorted(ranges):
        if groups and each.first <= end:
            groups[-1].append(each)
        else:
            groups.append([each])
        end = max(end, each.last)
    groups.sort(key=lambda group: min(ranges.index(each) for each in group))
    return tuple(
        ByteRange(min(each.first for each in group), max(each.last for each in group), group[0].size)
        for group in groups
    )


async def partial_content(
    content: Content, ranges: Sequence[ByteRange], content_type: str
) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a 206 answer that has these parts of a content of that type.

    Several are one body of type multipart/byteranges. https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
    """
    if len(ranges) == 1:
        [only] = ranges
        sent = {"Content-Type": content_type, "Content-Range": only.content_range}
        return sent, await content.part(only.first, only.last)
    boundary = secrets.token_hex(16)
    body = bytearray()
    for each in ranges:
        head = f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {each.content_range}\r\n\r\n"
        body += head.encode("latin-1") + await content.part(each.first, each.last)
    body += f"\r\n--{boundary}--\r\n".encode()
    return {"Content-Type": f"multipart/byteranges; boundary={boundary}"}, bytes(body)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MOST_DIGITS else int("9" * _MOST_DIGITS)
