"""The files of a release: in a folder, or in a zip of which nothing is unpacked to the disk."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

csv.field_size_limit(16 * 1024 * 1024)


class SourceError(Exception):
    """The files cannot be read as what they are said to be; the text says where."""


class Release:
    """A folder, a zip, or one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                self.names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
            elif zipfile.is_zipfile(path):
                self._zip = zipfile.ZipFile(path)
                self.names = sorted(each.filename for each in self._zip.infolist() if not each.is_dir())
            elif path.is_file():
                self.names = [path.name]
            else:
                raise SourceError(f"{path} is neither a file nor a folder.")
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} cannot be read.") from error

    def matching(self, pattern: str) -> list[str]:
        """Return the names of the files whose last part the pattern matches as a whole."""
        name_pattern = re.compile(pattern)
        return [each for each in self.names if name_pattern.fullmatch(each.rpartition("/")[2])]

    def one(self, pattern: str, what: str) -> str:
        """Return the name of the one file that matches; raises SourceError where there is none, or several."""
        names = self.matching(pattern)
        if len(names) != 1:
            there = f"there are {len(names)}: {', '.join(names[:5])}" if names else "there is none"
            raise SourceError(f"{self.path} should have one file of {what} ({pattern}); {there}.")
        return names[0]

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        try:
            if self._zip is not None:
                return self._zip.open(name)
            return (self.path if self.path.is_file() else self.path / name).open("rb")
        except (OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise SourceError(f"{name} cannot be read.") from error

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a text file in UTF-8, without their ends."""
        with io.TextIOWrapper(self.open(name), encoding="utf-8-sig", newline="\n") as file:
            try:
                for line in file:
                    yield line.rstrip("\r\n")
            except (UnicodeDecodeError, OSError, zipfile.BadZipFile) as error:
                raise SourceError(f"{name} is not text in UTF-8.") from error

    def rows(self, name: str, separator: str, columns: int) -> Iterator[list[str]]:
        """Yield the fields of each line of a file without quotes, such as RF2 and RRF."""
        for number, line in enumerate(self.lines(name), 1):
            fields = line.split(separator)
            if len(fields) < columns:
                raise SourceError(f"{name}, line {number} has {len(fields)} fields of at least {columns}.")
            yield fields

    def records(self, name: str, *needed: str) -> Iterator[dict[str, str]]:
        """Yield the rows of a CSV file with a head, by the names of its columns.

        Raises SourceError where it lacks one that is `needed`.
        """
        with io.TextIOWrapper(self.open(name), encoding="utf-8-sig", newline="") as file:
            try:
                reader = csv.DictReader(file)
                missing = [each for each in needed if each not in (reader.fieldnames or ())]
                if missing:
                    raise SourceError(f"{name} lacks the columns {', '.join(missing)}.")
                for row in reader:
                    yield {
                        key: value or ""
                        for key, value in row.items()
                        if key is not None and isinstance(value, str | None)
                    }
            except (UnicodeDecodeError, csv.Error, OSError, zipfile.BadZipFile) as error:
                raise SourceError(f"{name} is not CSV in UTF-8.") from error
