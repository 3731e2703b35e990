"""Finding files and cutting them into parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fhir_server.engine.loading.parts import LARGEST_PART, LINES_IN_A_PART
from fhir_server.load.files import find_files, parts


def test_folders_are_searched_for_what_can_be_loaded(tmp_path: Path) -> None:
    """A folder gives its JSON and NDJSON files at any depth, without hidden ones; a file is taken as it is."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.json", "a.ndjson.gz", "deep/er/c.jsonl", "deep/.hidden.json", "deep/notes.txt"):
        (tmp_path / name).write_bytes(b"{}")
    matches = find_files([tmp_path, tmp_path / "deep" / "notes.txt", tmp_path / "b.json"])
    assert [str(path.relative_to(tmp_path)) for path in matches] == [
        "a.ndjson.gz",
        "b.json",
        "deep/er/c.jsonl",
        "deep/notes.txt",
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_a_document_is_one_part(tmp_path: Path, packed: bool) -> None:
    """A JSON file is one part, and whether it is gzipped is seen by its content, not by its name."""
    path = tmp_path / "bundle.json"
    path.write_bytes(gzip.compress(b'{"a": 1}') if packed else b'{"a": 1}')
    (part,) = parts(path)
    assert part.data == b'{"a": 1}'
    assert part.first_line is None
    assert part.size == path.stat().st_size


@pytest.mark.parametrize("name", ["many.ndjson", "many.ndjson.gz"])
def test_ndjson_is_cut_at_lines(tmp_path: Path, name: str) -> None:
    """The parts of NDJSON hold all its lines in order, say where they begin, and cover the file."""
    lines = [b'{"line": %d}\n' % number for number in range(1, 2 * LINES_IN_A_PART + 11)]
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"".join(lines)) if name.endswith(".gz") else b"".join(lines))
    pieces = list(parts(path))
    assert [part.first_line for part in pieces] == [1, LINES_IN_A_PART + 1, 2 * LINES_IN_A_PART + 1]
    assert b"".join(part.data for part in pieces) == b"".join(lines)
    assert sum(part.size for part in pieces) == path.stat().st_size


def test_long_lines_end_a_part_early(tmp_path: Path) -> None:
    """A part of NDJSON does not grow far beyond the size that it may have."""
    line = b" " * (LARGEST_PART // 2) + b"\n"
    path = tmp_path / "long.ndjson"
    path.write_bytes(line * 4)
    assert [len(part.data) for part in parts(path)] == [2 * len(line)] * 2


def test_a_part_is_known_by_its_content(tmp_path: Path) -> None:
    """The same content has the same key in any file, plain or gzipped; other content has another."""
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "b.json").write_bytes(gzip.compress(b"{}"))
    (tmp_path / "c.json").write_bytes(b"{ }")
    a, b, c = (next(parts(tmp_path / f"{name}.json")).key for name in "abc")
    assert a == b != c


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    """An empty NDJSON file has no part."""
    path = tmp_path / "empty.ndjson"
    path.write_bytes(b"")
    assert list(parts(path)) == []
