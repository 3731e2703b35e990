"""What there is to load: files found, unpacked, and cut into parts that are recognised by their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from fhir_server.engine.loading.parts import Part, chunks

_GZIP = b"\x1f\x8b"
_LINES = (".ndjson", ".jsonl")
_LOADED = (".json", *_LINES)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files named, and those in the folders named that look like bundles or NDJSON, in a stable order."""
    files: dict[Path, None] = {}
    for path in paths:
        below = [file for file in sorted(path.rglob("*")) if _is_loaded(file)] if path.is_dir() else [path]
        files.update(dict.fromkeys(below))
    return list(files)


def parts(path: Path) -> Iterator[Part]:
    """Yield the parts of a file, plain or gzipped; raises OSError or EOFError where it cannot be read."""
    with open(path, "rb") as raw, _unpacked(raw) as content:
        if not _name(path).endswith(_LINES):
            yield _part(path, content.read(), None, path.stat().st_size)
            return
        start, number = 0, 1
        for lines in chunks(content):
            yield _part(path, b"".join(lines), number, raw.tell() - start)
            start, number = raw.tell(), number + len(lines)


def _unpacked(raw: BufferedReader) -> BufferedReader | gzip.GzipFile:
    return gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw


def _part(path: Path, data: bytes, first_line: int | None, size: int) -> Part:
    return Part(str(path), hashlib.sha256(data).hexdigest(), data, first_line, size)


def _is_loaded(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and _name(path).endswith(_LOADED)


def _name(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")
