"""Importing some rows of one table: a row that is refused does not take its neighbours with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256

from fhir_server.errors import Conflict, FhirError, Gone, Issue, Unprocessable
from fhir_server.hospital.tables.cells import parse
from fhir_server.hospital.tables.importing import Done, Importer, refusal
from fhir_server.hospital.tables.planned import Planned, with_entries
from fhir_server.hospital.tables.resources import MappingContext, to_resources
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import Table
from fhir_server.load.worker import Refusal
from fhir_server.store.work.imports import Imported
from mappings.accounts.users import User
from mappings.catalogue.clinics import Clinic
from mappings.shared import elements
from mappings.shared.rows import Row

_POSITION = re.compile(r"Bundle\.entry\[(\d+)\]")


async def import_rows(importer: Importer, table: Table, lines: Sequence[Line]) -> Done:
    """Import rows of a table; returns what became of them."""
    batch = _Batch(importer, table)
    changed = await batch.changed(batch.parsed(lines))
    await batch.send(await batch.planned(changed))
    return batch.done


class _Batch:
    """Some rows of one table."""

    def __init__(self, importer: Importer, table: Table) -> None:
        self.done = Done()
        self._importer = importer
        self._table = table

    def parsed(self, lines: Sequence[Line]) -> list[Planned]:
        """Return the rows that can be read; the others are refused."""
        found: dict[str, Planned] = {}
        for line in lines:
            try:
                if line.fault is not None:
                    raise Unprocessable(line.fault, code="structure")
                parsed = parse(self._table, line.cells, self._importer.options.prefix)
                if parsed.row.id in found:
                    raise Conflict("its id stands twice", code="duplicate", expression=f"{self._table.name}.id")
            except FhirError as error:
                self._refuse(line.place, error)
                continue
            row = self._in_its_zone(parsed.row)
            found[row.id] = Planned(line.place, row, _digest(row), None)
            self._note(line.place, parsed.notes)
        return list(found.values())

    def _in_its_zone(self, row: Row) -> Row:
        timezone = self._importer.options.timezone
        if timezone is None or not isinstance(row, Clinic) or row.timezone is not None:
            return row
        return row.model_copy(update={"timezone": timezone})

    async def changed(self, found: list[Planned]) -> list[Planned]:
        """Return the rows that are not imported already as they are."""
        imported = await self._importer.imported(self._table, (each.row for each in found))
        erased = await self._importer.erased([each.row for each in found])
        changed: list[Planned] = []
        for each in found:
            known = imported.get(f"{self._table.type}/{each.row.id}")
            if {each.row.id if isinstance(each.row, User) else None, getattr(each.row, "user_id", None)} & erased:
                self._refuse(each.place, Gone("is of a person whose data was erased here"))
            elif known is not None and known.digest == each.digest:
                self.done.counts[self._table.name, "unchanged"] += 1
            else:
                changed.append(replace(each, imported=known))
        return changed

    async def planned(self, changed: list[Planned]) -> list[Planned]:
        """Return the rows with what there is to write; those that cannot be, or must not be, are refused."""
        around = await self._importer.around(self._table, (each.row for each in changed))
        mapped = [each for each in (self._mapped(each, around) for each in changed) if each is not None]
        current = await self._importer.current(mapped)
        accounts = await self._importer.accounts([each.row for each in mapped])
        ready: list[Planned] = []
        for each in mapped:
            try:
                planned = with_entries(each, current)
            except FhirError as error:
                self._refuse(each.place, error)
                continue
            if isinstance(each.row, User):
                planned = replace(planned, account=accounts.account(each.row, each.imported))
            ready.append(planned)
        return ready

    def _mapped(self, planned: Planned, around: MappingContext) -> Planned | None:
        try:
            with elements.checked_later():
                return replace(planned, resources=to_resources(self._table, planned.row, around))
        except ValueError as error:
            # Pydantic's text shows the values, which are a patient's.
            said = "; ".join(each["msg"] for each in error.errors()) if hasattr(error, "errors") else str(error)
            self._refuse(planned.place, Unprocessable(said, code="value"))
            return None

    async def send(self, left: list[Planned]) -> None:
        """Store the rows together; those that a refusal is about go alone, and the rest is sent again."""
        alone: list[Planned] = []
        while len(left) > 1:
            try:
                await self._store(left)
            except FhirError as error:
                named = _named(error, left) or set(range(len(left)))
                alone += [each for position, each in enumerate(left) if position in named]
                left = [each for position, each in enumerate(left) if position not in named]
            else:
                left = []
        for each in left + alone:
            try:
                await self._store([each])
            except FhirError as error:
                self._refuse(each.place, error)

    async def _store(self, rows: list[Planned]) -> None:
        entries = [entry for each in rows for entry in each.entries]
        accounts = [each.account for each in rows if each.account is not None]
        await self._importer.transact(entries, [_imported(self._table, each) for each in rows], accounts)
        for each in rows:
            self.done.counts[self._table.name, _outcome(each)] += 1
            self._note(each.place, each.account.notes if each.account else ())

    def _refuse(self, place: str, error: FhirError) -> None:
        self.done.refusals.append(refusal(self._table, place, error))

    def _note(self, place: str, issues: Iterable[Issue]) -> None:
        said = [issue.to_fhir() for issue in issues]
        if said:
            self.done.notes.append(Refusal(self._table.name, place, (self._table.name,), 200, said))


def _imported(table: Table, planned: Planned) -> Imported:
    return Imported(
        f"{table.type}/{planned.row.id}",
        planned.digest,
        planned.made,
        leaving=planned.row.deleted_at is not None,
        password=planned.account.password if planned.account else "",
    )


def _outcome(planned: Planned) -> str:
    if planned.imported is None:
        return "created" if planned.entries else "unchanged"
    return "updated"


def _named(error: FhirError, rows: Sequence[Planned]) -> set[int]:
    """Return the positions of the rows that the refusal is about."""
    owners = [position for position, each in enumerate(rows) for _ in each.entries]
    paths = [path for issue in error.issues for path in issue.expression]
    return {owners[int(match[1])] for path in paths if (match := _POSITION.match(path))}


def _digest(row: Row) -> str:
    return sha256(row.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()
