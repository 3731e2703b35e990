"""Any hospital comes back as it was, through the text of its cells."""

from __future__ import annotations

import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.engine.context import Services
from fhir_server.hospital.tables.batch import import_rows
from fhir_server.hospital.tables.cells import cell, parse
from fhir_server.hospital.tables.checks.order import Ordered
from fhir_server.hospital.tables.companions import Reading
from fhir_server.hospital.tables.ids import from_logical, to_logical
from fhir_server.hospital.tables.importing import Importer, Options
from fhir_server.hospital.tables.resources import from_resources
from fhir_server.hospital.tables.sign_in import password_hashes
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import BY_NAME, TABLES, Table
from mappings.accounts.users import User
from mappings.shared.rows import Row
from tests.hms.hospital import Hospital, cells, hospitals


async def rows_back(shared: Services, table: Table, prefix: str) -> list[Row]:
    """Return the rows of a table whose ids begin with the prefix."""
    items = [
        from_resources(table, whole.resources, whole.around, created=whole.created, deleted=whole.deleted)
        async for batch in Reading(shared).batches(table)
        for whole in batch
        if whole.resources[0]["id"].startswith(prefix)
    ]
    if table.row is User:
        from fhir_server.store.accounts.accounts import UserStore

        hashes = await password_hashes(UserStore(shared.database), [row.id for row in items])
        items = [row.model_copy(update={"password_hash": hashes.get(row.id)}) for row in items]
    return items


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(hospital=hospitals())
async def test_every_column_of_every_table_comes_back(shared: Services, hospital: Hospital) -> None:
    """Import and export of all tables give the same cells: any text, decimal, null, offset, deleted rows and all."""
    # One database for all examples: each has ids of its own.
    prefix = f"{uuid.uuid4().hex[:8]}-"
    importer = Importer(shared, Options(prefix))
    source = cells(hospital)
    for table in TABLES:
        ordered = Ordered(table, [Line(str(n), row) for n, row in enumerate(source[table.name])])
        done = await import_rows(importer, table, list(ordered.free()))
        ordered.refused |= done.refused
        for level in ordered.levels():
            done.refusals += (await import_rows(importer, table, level)).refusals
        repeated = len(source[table.name]) - len({row["id"] for row in source[table.name]})
        assert [result.issues for result in done.refusals if "twice" not in str(result.issues)] == []
        assert len(done.refusals) == repeated
    for table in reversed(TABLES):
        assert (await importer.deletions(table)).refusals == []
    for table in TABLES:
        first = {row["id"]: row for row in reversed(source[table.name])}
        rows = await rows_back(shared, table, prefix)
        back = [{column: cell(row, column, prefix) for column in table.every_column} for row in rows]
        assert sorted(back, key=str) == sorted(first.values(), key=str)


@settings(max_examples=20, deadline=None)
@given(hospitals())
def test_cells_are_rows_and_rows_are_cells(hospital: Hospital) -> None:
    """What is written of a row is read as a row that is written the same, for every table and every column."""
    for name, rows in hospital.items():
        for row in rows:
            text = {column: cell(row, column) for column in BY_NAME[name].every_column}
            again = parse(BY_NAME[name], text).row
            assert {column: cell(again, column) for column in text} == text


@given(st.text(min_size=1, max_size=20), st.sampled_from(["", "a-", "b"]))
def test_ids_come_back(row_id: str, prefix: str) -> None:
    """Any text is an id in FHIR's few characters and comes back; numbers and UUIDs stay as they are."""
    logical = to_logical(row_id, prefix)
    assert all(character.isascii() and (character.isalnum() or character in "-.") for character in logical)
    assert from_logical(logical, prefix) == row_id
    assert to_logical("123e4567-e89b-12d3-a456-426614174000") == "123e4567-e89b-12d3-a456-426614174000"


def test_the_id_of_a_foreign_resource_stays() -> None:
    """What no import has written is not taken for something written by one."""
    assert from_logical("1.2.840.10008") == "1.2.840.10008"
    assert from_logical("a.FF") == "a.FF"
