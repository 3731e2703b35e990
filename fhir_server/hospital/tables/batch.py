"""Importing some rows of one table: a row that is refused does not take its neighbours with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from fhir_server.engine.loading.loading import Refusal
from fhir_server.errors import Conflict, FhirError, Gone, Issue, Unprocessable
from fhir_server.hospital.tables.cells import parse
from fhir_server.hospital.tables.checks.findings import Finding
from fhir_server.hospital.tables.checks.references import findings, rivalry
from fhir_server.hospital.tables.files import FoundFile, Unreachable
from fhir_server.hospital.tables.ids import from_logical, to_logical
from fhir_server.hospital.tables.importing import Done, Importer, refusal
from fhir_server.hospital.tables.planned import Planned, with_entries
from fhir_server.hospital.tables.resources import MappingContext, to_resources
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import Table
from fhir_server.store.work.imports import Imported
from mappings.accounts.users import User
from mappings.booking import appointments
from mappings.booking.appointments import Appointment
from mappings.catalogue.clinics import Clinic
from mappings.records.file_types import file_type
from mappings.records.medical_documents import MedicalDocument
from mappings.shared import elements
from mappings.shared.elements import Resource
from mappings.shared.rows import Row

_BYTES_AT_ONCE = 8 * 1024 * 1024
_POSITION = re.compile(r"Bundle\.entry\[(\d+)\]")


async def import_rows(importer: Importer, table: Table, lines: Sequence[Line]) -> Done:
    """Import rows of a table; returns what became of them."""
    batch = _Batch(importer, table)
    changed = await batch.changed(batch.parsed(lines))
    for portion in _portions(changed):
        await batch.send(await batch.planned(portion))
    return batch.done


def _portions(rows: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Yield the rows in portions whose files fit into memory, and into a transaction, together."""
    portion, size = list[Planned](), 0
    for each in rows:
        own = each.file.size if each.file else 0
        if portion and size + own > _BYTES_AT_ONCE:
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += own
    if portion:
        yield portion


class _Batch:
    """Some rows of one table."""

    def __init__(self, importer: Importer, table: Table) -> None:
        self.done = Done()
        self._importer = importer
        self._table = table

    def parsed(self, lines: Sequence[Line]) -> list[Planned]:
        """Return the rows that can be read; the others are refused."""
        planned_by_id: dict[str, Planned] = {}
        for line in lines:
            doubts = _doubts(self._table, line)
            try:
                planned = self._planned(line, doubts)
                if planned.row.id in planned_by_id:
                    raise Conflict("its id appears twice", code="duplicate", expression=f"{self._table.name}.id")
            except FhirError as error:
                self._refuse(line.place, None if line.fault else line.cells.get("id"), error, doubts)
                continue
            planned_by_id[planned.row.id] = planned
        return list(planned_by_id.values())

    def _planned(self, line: Line, doubts: tuple[Issue, ...]) -> Planned:
        if line.fault is not None:
            column = f"{self._table.name}.{line.column}" if line.column else None
            raise Unprocessable(line.fault, code="structure", expression=column)
        if "id" in line.doubtful:
            raise Unprocessable("id: is a text that means null", code="value", expression=f"{self._table.name}.id")
        prefix = self._importer.options.prefix
        parsed = parse(self._table, line.cells, prefix)
        row = self._in_its_zone(parsed.row)
        rivals = tuple(to_logical(rival, prefix) for rival in line.rivals)
        objects, notes = self._looked_for(row)
        return Planned(line.place, row, _digest(row), None, (*doubts, *parsed.notes, *notes), rivals, objects)

    def _looked_for(self, row: Row) -> tuple[FoundFile | None, list[Issue]]:
        """Return the file that a document points to, and why there is none."""
        if not isinstance(row, MedicalDocument) or row.file_url is None:
            return None, []
        if self._importer.files is None:
            is_here = "://" in row.file_url
            return None, [] if is_here else [_file_note("its file is missing here: see --files")]
        try:
            return self._importer.files.look(row.file_url), []
        except Unreachable as error:
            return None, [_file_note(str(error))]

    def _in_its_zone(self, row: Row) -> Row:
        timezone = self._importer.options.timezone
        if timezone is None or not isinstance(row, Clinic) or row.timezone is not None:
            return row
        return row.model_copy(update={"timezone": timezone})

    async def changed(self, planned: list[Planned]) -> list[Planned]:
        """Return the rows that are not imported already as they are."""
        imported = await self._importer.imported(self._table, (each.row for each in planned))
        erased = await self._importer.erased([each.row for each in planned])
        changed: list[Planned] = []
        for each in planned:
            earlier = imported.get(f"{self._table.type}/{each.row.id}")
            if {each.row.id if isinstance(each.row, User) else None, getattr(each.row, "user_id", None)} & erased:
                self._refuse_row(each, Gone("is of a person whose data was erased here"))
            elif earlier is not None and earlier.digest == each.digest and not _has_another_file(each, earlier):
                self.done.counts[self._table.name, "unchanged"] += 1
                self._note(each.place, each.notes)
            else:
                changed.append(replace(each, imported=earlier))
        return changed

    async def planned(self, changed: list[Planned]) -> list[Planned]:
        """Return the rows with what there is to write; those that cannot be, or must not be, are refused."""
        changed, files = await self._with_files(changed)
        around = await self._importer.around(self._table, (each.row for each in changed), files)
        rivals = await self._importer.rivals(self._table, changed)
        taken = await self._importer.taken(filter(None, (_place(each.row, around) for each in changed)))
        looked = (self._checked(each, around, rivals, taken) for each in changed)
        checked = [each for each in looked if each is not None]
        mapped = [each for each in (self._mapped(each, around) for each in checked) if each is not None]
        current = await self._importer.current(mapped)
        accounts = await self._importer.accounts([each.row for each in mapped])
        ready: list[Planned] = []
        for each in mapped:
            try:
                planned = with_entries(each, current)
            except FhirError as error:
                self._refuse_row(each, error)
                continue
            if isinstance(each.row, User):
                planned = replace(planned, account=accounts.account(each.row, each.imported))
            ready.append(planned)
        return ready

    async def _with_files(self, rows: list[Planned]) -> tuple[list[Planned], dict[str, bytes]]:
        """Return the rows and, by their ids, the files of those that are documents: new ones, or those kept here."""
        documents = [each.row for each in rows if isinstance(each.row, MedicalDocument)]
        if not documents:
            return rows, {}
        files = await self._importer.kept_files(row for row in documents if row.file_url is not None)
        read: list[Planned] = []
        for each, row in zip(rows, documents, strict=True):
            planned = each
            if each.file is not None and self._importer.files is not None:
                try:
                    files[row.id] = self._importer.files.read(row.file_url or "")
                except Unreachable as error:  # it has changed since it was looked for
                    planned = replace(each, file=None, notes=(*each.notes, _file_note(str(error))))
            read.append(_with_type(planned, row, files[row.id]) if row.id in files else planned)
        return read, files

    def _checked(
        self,
        planned: Planned,
        around: MappingContext,
        here: Mapping[str, Resource],
        taken: Collection[tuple[str, datetime]],
    ) -> Planned | None:
        """Return the row with what is noted of it among others; None where it is refused for that."""
        table, row = self._table.name, planned.row
        rivals = [here[name] for name in planned.rivals if name in here]
        begins, all_findings = _begins(row, around)
        all_findings += findings(table, row, around.resources) + rivalry(table, row, rivals, begins)
        if _place(row, around) in taken:
            all_findings.append(Finding("appointment_time", "is taken: an appointment made here begins then"))
        faults = [each.issue(table) for each in all_findings if each.refused]
        if faults:
            self._refuse_row(planned, Unprocessable(issues=faults))
            return None
        return replace(planned, notes=(*planned.notes, *(each.issue(table) for each in all_findings)))

    def _mapped(self, planned: Planned, around: MappingContext) -> Planned | None:
        try:
            with elements.checked_later():
                return replace(planned, resources=to_resources(self._table, planned.row, around))
        except ValueError as error:
            # Pydantic's text shows the values, which are a patient's.
            text = "; ".join(each["msg"] for each in error.errors()) if hasattr(error, "errors") else str(error)
            self._refuse_row(planned, Unprocessable(text, code="value"))
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
                self._refuse_row(each, error)

    async def _store(self, rows: list[Planned]) -> None:
        entries = [entry for each in rows for entry in each.entries]
        accounts = [each.account for each in rows if each.account is not None]
        await self._importer.transact(entries, [self._imported(each) for each in rows], accounts)
        for each in rows:
            self.done.counts[self._table.name, _outcome(each)] += 1
            self._note(each.place, (*each.notes, *(each.account.notes if each.account else ())))

    def _imported(self, planned: Planned) -> Imported:
        return Imported(
            f"{self._table.type}/{planned.row.id}",
            planned.digest,
            planned.made,
            leaving=planned.row.deleted_at is not None,
            prefix=self._importer.options.prefix,
            file=planned.file.fingerprint if planned.file else planned.imported.file if planned.imported else "",
            password=planned.account.password if planned.account else "",
        )

    def _refuse_row(self, planned: Planned, error: FhirError) -> None:
        row_id = from_logical(planned.row.id, self._importer.options.prefix)
        self._refuse(planned.place, row_id, error, planned.notes)

    def _refuse(self, place: str, row_id: str | None, error: FhirError, notes: Iterable[Issue]) -> None:
        refused = refusal(self._table, place, error)
        self.done.refusals.append(replace(refused, issues=refused.issues + [issue.to_fhir() for issue in notes]))
        if row_id is not None:
            self.done.refused.add(row_id)

    def _note(self, place: str, issues: Iterable[Issue]) -> None:
        issues_found = [issue.to_fhir() for issue in issues]
        if issues_found:
            self.done.notes.append(Refusal(self._table.name, place, (self._table.name,), 200, issues_found))


def _has_another_file(planned: Planned, imported: Imported) -> bool:
    return planned.file is not None and planned.file.fingerprint != imported.file


def _file_note(reason: str) -> Issue:
    column = "medical_documents.file_url"
    return Issue("not-found", f"file_url: {reason}.", (column,), "warning")


def _with_type(planned: Planned, row: MedicalDocument, data: bytes) -> Planned:
    """Return the document with the media type that its file is of."""
    media_type, stated = file_type(data, row.file_url or ""), row.content_type
    typed = replace(planned, row=row.model_copy(update={"content_type": media_type}))
    if stated is None or stated.partition(";")[0].strip().lower() == media_type:
        return typed
    reason = f"content_type: the file is {media_type}, and is kept as that."
    note = Issue("informational", reason, ("medical_documents.content_type",), "information")
    return replace(typed, notes=(*planned.notes, note))


def _begins(row: Row, around: MappingContext) -> tuple[datetime | None, list[Finding]]:
    """Return when an appointment begins, or what is wrong with its time."""
    if not isinstance(row, Appointment):
        return None, []
    try:
        return appointments.start(row, around.clock_of(row.clinic_id)), []
    except ValueError:
        return None, [Finding("appointment_time", "is a time that the clinic's clock skips that day")]


def _place(row: Row, around: MappingContext) -> tuple[str, datetime] | None:
    """Return the doctor and the time that an appointment takes; None of any other row, and of one that takes none."""
    if not isinstance(row, Appointment) or row.status == "canceled" or row.deleted_at or row.doctor_id is None:
        return None
    begins, _ = _begins(row, around)
    return None if begins is None else (row.doctor_id, begins)


def _doubts(table: Table, line: Line) -> tuple[Issue, ...]:
    message = "{}: is the text {} and taken as it stands; where it means null, import with --null '{}'."
    return tuple(
        Issue("informational", message.format(name, text, text), (f"{table.name}.{name}",), "information")
        for name in line.doubtful
        if name in table.every_column and (text := line.cells.get(name))
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
