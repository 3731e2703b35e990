"""A folder of JSON files, one for each table, named after it: an array of objects (`users.json`), or an object on each
line (`users.ndjson`, `users.jsonl`). The names of an object's members are those of the columns.

Numbers are taken as they are written, so that no digit is lost. https://www.rfc-editor.org/rfc/rfc8259
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, TypeAlias

from fhir_server.hospital.tables.csv_folder import DOUBTFUL
from fhir_server.hospital.tables.sources import Line, Unreadable
from fhir_server.hospital.tables.tables import LISTS, Table

SUFFIXES = (".json", ".ndjson", ".jsonl")
LONGEST_RECORD = 32 * 1024 * 1024
"""Characters of one object, past which it is not read."""
_CHUNK = 1024 * 1024
_SPACE = " \t\n\r"


class _Object(dict[str, Any]):
    """A JSON object; `twice` is a name that stands twice in it."""

    twice: str | None = None


Record: TypeAlias = "tuple[str, Any, str | None]"
"""Where a value stands, the value, and why it is none."""


class JsonFolder:
    """The files of a folder, as tables to read; `nulls` are texts that mean null, as null itself does."""

    def __init__(self, folder: Path, encoding: str | None = None, nulls: Sequence[str] = ()) -> None:
        self._folder = folder
        self._encoding = "utf-8-sig" if encoding is None else encoding
        self._nulls = frozenset(nulls)
        self._looked_through: dict[str, tuple[Sequence[str], int]] = {}

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names that the table's objects have, or None where there is no such file; raises Unreadable."""
        if not any((self._folder / f"{table.name}{suffix}").is_file() for suffix in SUFFIXES):
            return None
        names, rows = self._through(table)
        # A table without rows says nothing of its columns.
        return names if rows else ("id",)

    def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        return self._through(table)[1]

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows; raises Unreadable at the place from which on an array is none."""
        for place, value, fault in self._records(table):
            yield Line(place, {}, fault) if fault is not None else self._line(place, value)

    def _line(self, place: str, value: Any) -> Line:
        if not isinstance(value, _Object):
            return Line(place, {}, "is no JSON object")
        cells: dict[str, str | None] = {}
        fault, column = None, ""
        for name, each in value.items():
            text = _text(name, each)
            if isinstance(text, _Unfit):
                fault, column = f"is {text}, and no text, number, true, false or null", name
            else:
                cells[name] = None if text in self._nulls else text
        if value.twice is not None:
            fault, column = "stands twice in the object", value.twice
        doubtful = tuple(name for name, text in cells.items() if text in DOUBTFUL)
        return Line(place, cells, fault, column, doubtful)

    def _through(self, table: Table) -> tuple[Sequence[str], int]:
        """Return the names of the table's columns in the order in which they appear, and how many rows there are."""
        if table.name not in self._looked_through:
            names: dict[str, None] = {}
            rows = 0
            for _, value, _ in self._records(table):
                rows += 1
                names |= dict.fromkeys(value) if isinstance(value, _Object) else {}
            self._looked_through[table.name] = tuple(names), rows
        return self._looked_through[table.name]

    def _records(self, table: Table) -> Iterator[Record]:
        path = next(path for suffix in SUFFIXES if (path := self._folder / f"{table.name}{suffix}").is_file())
        with self._reading(path) as file:
            yield from _array(path.name, file) if path.suffix == ".json" else _of_lines(file)

    @contextmanager
    def _reading(self, path: Path) -> Iterator[IO[str]]:
        # What cannot be decoded becomes a row that is refused, not the end of the import, where that is possible.
        with path.open(encoding=self._encoding, errors="surrogateescape") as file:
            try:
                yield file
            except UnicodeError as error:
                raise Unreadable(f"{path.name} is not in the encoding {self._encoding}.") from error


# --- Cells -------------------------------------------------------------------------------------------------------


class _Unfit(str):
    """What a value is that cannot be a cell."""

    __slots__ = ()


def _text(name: str, value: Any) -> str | None:
    if isinstance(value, list) and name in LISTS and all(isinstance(each, str) for each in value):
        return " ".join(value) or None
    if isinstance(value, list | dict):
        return _Unfit("a list" if isinstance(value, list) else "an object")
    if isinstance(value, bool):
        return "true" if value else "false"
    text: str | None = value
    return text


# --- Records -----------------------------------------------------------------------------------------------------


def _object(members: Iterable[tuple[str, Any]]) -> _Object:
    made = _Object()
    for name, value in members:
        if name in made:
            made.twice = name
        made[name] = value
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=_no_number
)  # fmt: skip


def _of_lines(file: IO[str]) -> Iterator[Record]:
    number = 0
    while text := file.readline(LONGEST_RECORD):
        number += 1
        place = f"line {number}"
        if len(text) == LONGEST_RECORD and not text.endswith("\n"):
            while len(file.readline(LONGEST_RECORD)) == LONGEST_RECORD:
                pass
            yield place, None, f"has more than {LONGEST_RECORD} characters"
        elif text.strip(_SPACE):
            yield place, *_decoded(text)


def _decoded(text: str) -> tuple[Any, str | None]:
    try:
        return _DECODER.decode(text), None
    except ValueError as error:
        return None, _reason(error)
    except RecursionError:
        return None, "is no JSON that can be read: it is nested too deeply"


def _reason(error: ValueError) -> str:
    # The error itself would show the text, which is a patient's.
    return f"is no JSON: {error.msg}" if isinstance(error, json.JSONDecodeError) else f"is no JSON: {error}"


class _Buffer:
    """A stretch of a file, from where its next value begins."""

    def __init__(self, name: str, file: IO[str]) -> None:
        self._name = name
        self._file = file
        self._text = ""
        self._at = 0
        self.number = 0
        """The number of the value that is read."""

    def next(self) -> str:
        """Return the next character that is no white space, empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more(_CHUNK):
                return ""

    def take(self, characters: str) -> str:
        """Pass over the next character, which must be one of these; return it."""
        character = self.next()
        if not character or character not in characters:
            expected = " or ".join(repr(each) for each in characters)
            raise self.fault(f"is no JSON array of objects: {expected} is missing")
        self._at += 1
        return character

    def value(self) -> Any:
        """Return the next value and pass over it."""
        self.next()
        size = _CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # It may be cut off where the stretch ends. The longer it is, the more is read at once.
                if len(self._text) - self._at > LONGEST_RECORD or not self._more(size):
                    raise self.fault(_reason(error)) from None
            except (ValueError, RecursionError) as error:
                reason = _reason(error) if isinstance(error, ValueError) else "is nested too deeply"
                raise self.fault(reason) from None
            else:
                # A number may go on where the stretch ends.
                if end < len(self._text) or not self._more(size):
                    self._at = end
                    return value
            size *= 2

    def fault(self, reason: str) -> Unreadable:
        """Return the error that says of the value why the file cannot be read."""
        return Unreadable(f"{self._name}, record {self.number}: {reason}. Nothing of the table is taken.")

    def _more(self, size: int) -> bool:
        read = self._file.read(size)
        self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)


def _array(name: str, file: IO[str]) -> Iterator[Record]:
    """Yield the values of an array; raises Unreadable where it is none, since nobody knows what has been cut off."""
    buffer = _Buffer(name, file)
    buffer.take("[")
    buffer.number = 1
    if buffer.next() == "]":
        buffer.take("]")
    else:
        yield f"record {buffer.number}", buffer.value(), None
        while buffer.take(",]") == ",":
            buffer.number += 1
            yield f"record {buffer.number}", buffer.value(), None
    if buffer.next():
        raise buffer.fault("is no JSON array of objects: something follows its end")
