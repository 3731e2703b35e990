"""Tables as JSON: an array or a line for each row, with every cell as it is written, and faults that name their row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hospital.tables import json_folder
from fhir_server.hospital.tables.folder import TableFolder
from fhir_server.hospital.tables.json_folder import JsonFolder
from fhir_server.hospital.tables.sources import Line, Unreadable
from fhir_server.hospital.tables.tables import BY_NAME
from fhir_server.store.database.data_directory import StartupError

USERS = BY_NAME["users"]
NAMES = st.sampled_from(["id", "first_name", "email", "deleted_at", "an unknown one"])
CELLS = st.none() | st.booleans() | st.text(max_size=30) | st.integers() | st.sampled_from(["{", "]", '"', "\\"])


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def lines_of(folder: Path, name: str, content: str | bytes, **options: Any) -> list[Line]:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return list(JsonFolder(folder, **options).lines(USERS))


@given(
    st.lists(st.dictionaries(NAMES, CELLS, max_size=4), max_size=6),
    st.sampled_from(["users.json", "users.ndjson", "users.jsonl"]),
    st.integers(1, 40),
    st.sampled_from([None, 3]),
    st.booleans(),
)
def test_every_cell_is_read_wherever_a_stretch_ends(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    name: str,
    chunk: int,
    indent: int | None,
    escaped: bool,
) -> None:
    """Rows are the same in an array and in lines, indented or not, and however the file is cut in reading."""
    folder = tmp_path_factory.mktemp("tables")
    if name == "users.json":
        content = json.dumps(rows, indent=indent, ensure_ascii=escaped)
    else:
        content = "\n\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_folder, "_CHUNK", chunk)
        lines = lines_of(folder, name, content)
        tables = JsonFolder(folder)
        assert (tables.count(USERS), set(tables.columns(USERS) or ())) == (
            len(rows),
            {column for row in rows for column in row} or (set() if rows else {"id"}),
        )
    assert [line.cells for line in lines] == [{key: as_text(cell) for key, cell in row.items()} for row in rows]
    assert all(line.fault is None for line in lines)


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    """A number is taken as it is written: 50.10 is not 50.1, and an integer has as many digits as it likes."""
    [line] = lines_of(tmp_path, "users.json", '[{"id": 12345678901234567890123, "first_name": 50.10}]')
    assert line.cells == {"id": "12345678901234567890123", "first_name": "50.10"}


def test_a_list_of_ids_is_one_cell(tmp_path: Path) -> None:
    """Columns that hold several ids take them as a list."""
    [line] = lines_of(tmp_path, "users.json", '[{"id": "1", "slot_ids": ["a", "b"]}]')
    assert line.cells["slot_ids"] == "a b"


def test_named_texts_mean_null(tmp_path: Path) -> None:
    """A text that is said to mean null does, another that programs write for null is doubted."""
    row = '{"id": "1", "email": "NULL", "phone": "-"}'
    [line] = lines_of(tmp_path, "users.jsonl", row, nulls=("-",))
    assert (line.cells["phone"], line.doubtful) == (None, ("email",))


@pytest.mark.parametrize(
    ("row", "fault", "column"),
    [
        ('{"id": "2", "email": {"home": "a@b.example"}}', "an object", "email"),
        ('{"id": "2", "email": ["a@b.example"]}', "a list", "email"),
        ('{"id": "2", "slot_ids": [["a"]]}', "a list", "slot_ids"),
        ('{"id": "2", "id": "3"}', "twice", "id"),
        ("[]", "no JSON object", ""),
        ('"text"', "no JSON object", ""),
        ("7", "no JSON object", ""),
        ("null", "no JSON object", ""),
    ],
)
@pytest.mark.parametrize("name", ["users.json", "users.ndjson"])
def test_a_row_that_is_none_is_told_by_its_place(tmp_path: Path, name: str, row: str, fault: str, column: str) -> None:
    """What can be no row is a fault of that row, and its neighbours are read."""
    rows = ['{"id": "1"}', row, '{"id": "4"}']
    lines = lines_of(tmp_path, name, f"[{','.join(rows)}]" if name == "users.json" else "\n".join(rows))
    assert fault in (lines[1].fault or "")
    assert (lines[1].column, lines[1].place) == (column, "record 2" if name == "users.json" else "line 2")
    assert [line.cells["id"] for line in lines[::2]] == ["1", "4"]


@pytest.mark.parametrize("row", ["{", '{"id": NaN}', "{'id': 1}", '{"id": "1"} {}', "[" * 100_000, '{"id": "\x01"}'])
def test_a_line_that_is_no_json_is_told_without_its_text(tmp_path: Path, row: str) -> None:
    """A line that cannot be read is a fault of that line; the fault shows nothing of it."""
    lines = lines_of(tmp_path, "users.ndjson", f'{{"id": "1"}}\n{row}\n{{"id": "4"}}\n')
    assert (lines[1].fault or "").startswith("is no JSON")
    assert [line.cells["id"] for line in lines[::2]] == ["1", "4"]


@pytest.mark.parametrize(
    ("content", "record"),
    [
        ('[{"id": "1"}, {"id": "2"', 2),
        ('[{"id": "1"}', 1),
        ('[{"id": "1"} {"id": "2"}]', 1),
        ('[{"id": "1"},]', 2),
        ('[{"id": "1"}] [', 1),
        ('[{"id": Infinity}]', 1),
        ("[" * 100_000, 1),
        ('{"id": "1"}', 0),
        ("", 0),
    ],
)
def test_a_broken_array_is_no_table(tmp_path: Path, content: str, record: int) -> None:
    """Where an array breaks off nobody knows what is missing: nothing of it is taken, and the place is named."""
    with pytest.raises(Unreadable, match=rf"users\.json, record {record}: .*Nothing of the table"):
        lines_of(tmp_path, "users.json", content)


def test_the_encoding_is_the_one_that_is_named(tmp_path: Path) -> None:
    """A byte order mark is passed over, another encoding read where it is named, and a wrong one told."""
    row = '[{"id": "1", "first_name": "Zoë"}]'
    assert lines_of(tmp_path, "users.json", b"\xef\xbb\xbf" + row.encode())[0].cells["first_name"] == "Zoë"
    encoded = row.encode("utf-16")
    assert lines_of(tmp_path, "users.json", encoded, encoding="utf-16")[0].cells["first_name"] == "Zoë"
    with pytest.raises(Unreadable):
        lines_of(tmp_path, "users.json", encoded[:-1], encoding="utf-16")


def test_a_record_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has too many characters for one row is not held in memory: a line is refused, an array is no table."""
    monkeypatch.setattr(json_folder, "LONGEST_RECORD", 50)
    monkeypatch.setattr(json_folder, "_CHUNK", 10)
    long = json.dumps({"id": "2", "first_name": "x" * 500})
    lines = lines_of(tmp_path, "users.ndjson", f'{{"id": "1"}}\n{long}\n{{"id": "3"}}\n')
    assert [line.cells.get("id") for line in lines] == ["1", None, "3"]
    assert "more than 50" in (lines[1].fault or "")
    (tmp_path / "users.ndjson").unlink()
    with pytest.raises(Unreadable, match="record 1"):
        lines_of(tmp_path, "users.json", f"[{long[:-1]}, {long}")


def test_one_file_is_the_table(tmp_path: Path) -> None:
    """Two files of one table are refused by name; files of different tables may be of different formats."""
    (tmp_path / "users.json").write_text('[{"id": "1"}]')
    (tmp_path / "clinics.csv").write_text("id,name\n1,First\n")
    tables = TableFolder(tmp_path)
    assert [tables.columns(BY_NAME[name]) for name in ("users", "clinics", "doctors")] == [
        ("id",), ["id", "name"], None
    ]  # fmt: skip
    (tmp_path / "users.csv").write_text("id\n1\n")
    with pytest.raises(StartupError, match=r"users\.csv, users\.json"):
        TableFolder(tmp_path)
