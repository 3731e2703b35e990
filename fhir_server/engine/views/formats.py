"""The rows of a view as bytes: JSON, NDJSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from fhir_server.errors import NotAcceptable, TooLarge
from fhir_server.r4 import values
from fhir_server.r4.views import Column, Row

NDJSON, CSV, JSON = "application/x-ndjson", "text/csv; charset=utf-8", "application/json"

_NAMES = {
    "ndjson": NDJSON,
    "application/ndjson": NDJSON,
    "application/x-ndjson": NDJSON,
    "application/fhir+ndjson": NDJSON,
    "csv": CSV,
    "text/csv": CSV,
    "json": JSON,
    "application/json": JSON,
}


def chosen(format_: str | None, accept: str | None) -> str:
    """Return the media type of the answer; `_format` goes before Accept. Raises NotAcceptable."""
    if format_ is not None:
        content_type = _NAMES.get(format_.partition(";")[0].strip().lower())
        if content_type is None:
            raise NotAcceptable(f"_format is csv, json or ndjson, not {format_[:80]!r}.")
        return content_type
    for part in (accept or "").split(","):
        name, _, parameters = part.lower().partition(";")
        name, refused = name.strip(), parameters.replace(" ", "") in ("q=0", "q=0.0")
        if name in _NAMES and not refused:
            return _NAMES[name]
    return NDJSON


def written(media_type: str, columns: Sequence[Column], rows: Iterable[Row], *, header: bool, most: int) -> bytes:
    """Return the rows in a media type; `header` is about CSV.

    Raises TooLarge for more than `most` bytes: rows share what they repeat, and their text does not.
    """
    body = bytearray()
    for piece in _WRITERS[media_type](columns, rows, header):
        body += piece
        if len(body) > most:
            raise TooLarge(f"The rows are larger than {most} bytes (max_answer_bytes).", code="too-costly")
    return bytes(body)


def _json(columns: Sequence[Column], rows: Iterable[Row], header: bool) -> Iterator[bytes]:
    yield b"["
    for number, line in enumerate(_objects(columns, rows)):
        yield b"," + line if number else line
    yield b"]"


def _ndjson(columns: Sequence[Column], rows: Iterable[Row], header: bool) -> Iterator[bytes]:
    return (line + b"\n" for line in _objects(columns, rows))


def _objects(columns: Sequence[Column], rows: Iterable[Row]) -> Iterable[bytes]:
    names = [column.name for column in columns]
    return (values.encode(dict(zip(names, row, strict=True))) for row in rows)


def _csv(columns: Sequence[Column], rows: Iterable[Row], header: bool) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # RFC 4180: lines end with CRLF
    if header:
        writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _cell(value: Any) -> str:
    """Return a value as CSV has it: nothing for null, JSON for what has parts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return str(value)
    return values.encode(value).decode()


_WRITERS: dict[str, Callable[[Sequence[Column], Iterable[Row], bool], Iterator[bytes]]] = {
    JSON: _json,
    NDJSON: _ndjson,
    CSV: _csv,
}
