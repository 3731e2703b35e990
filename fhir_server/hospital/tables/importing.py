"""Importing into a database: what an import has to know of it, and the one transaction that stores rows.

The record of a row, and the account of a user, are stored with the row's resources or not at all.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.engine.loading.loading import Refusal
from fhir_server.errors import FhirError
from fhir_server.hospital.api.references import decoded
from fhir_server.hospital.tables.checks.references import Key, referred
from fhir_server.hospital.tables.files import FileFolder
from fhir_server.hospital.tables.planned import Planned
from fhir_server.hospital.tables.resources import MappingContext
from fhir_server.hospital.tables.sign_in import Account, Accounts
from fhir_server.hospital.tables.tables import Table
from fhir_server.r4 import values
from fhir_server.search.params.dates import beginning_key
from fhir_server.search.query.conditions import HasKey
from fhir_server.services import base_url
from fhir_server.store.database.mongo import Session
from fhir_server.store.database.recording import RecordingDatabase
from fhir_server.store.resources.listing import last_of
from fhir_server.store.resources.resources import Version
from fhir_server.store.work.imports import Imported
from mappings.accounts.users import User
from mappings.records import medical_documents
from mappings.records.medical_documents import MedicalDocument
from mappings.shared import clinic_clock
from mappings.shared.rows import Row

_SHOWN = re.compile(r"""^(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_MOST_BOOKED = 100_000
"""Appointments that begin at the times of one batch, of the doctors of that batch: far more than there are."""
_WITHOUT_PLACE = frozenset({"status=cancelled", "status=entered-in-error", "status=noshow"})
"""Index keys of appointments that take no time of a doctor's."""
_AROUND_A_FILE = 4096
"""Bytes of a Binary beside its data."""


@dataclass(slots=True)
class Done:
    """What became of rows: counts by table and outcome, what was refused, and what was noted of rows that were not."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[Refusal] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Ids of the refused rows, as the source has them."""


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are to be understood."""

    prefix: str = ""
    """Stands before the ids of all rows."""
    timezone: str | None = None
    """That of clinics which name none."""
    encoding: str | None = None
    """Of CSV files; UTF-8 if left out."""
    nulls: tuple[str, ...] = ()
    """Texts that mean null in CSV files, beside the empty cell."""
    files: Path | None = None
    """The folder of the files that documents point to."""


class Importer:
    """Imports rows into the database of the services."""

    def __init__(self, shared: Services, options: Options) -> None:
        self._shared = shared
        self.options = options
        self._base_url = base_url(shared.settings)
        self._record = shared.stores.imports
        self._erasures = shared.stores.erasures
        self._users, self._names = shared.stores.users, shared.stores.login_names
        self._grants = shared.stores.grants
        # As a Binary it must fit into a body: base64 is a third longer.
        largest = shared.settings.max_body_bytes // 4 * 3 - _AROUND_A_FILE
        self.files = None if options.files is None else FileFolder(options.files, largest)
        self._clock = clinic_clock.zone(options.timezone or shared.settings.default_timezone)

    async def deletions(self, table: Table) -> Done:
        """Delete the resources of the table's deleted rows; their history stays."""
        done, after = Done(), ""
        while leaving := await self._record.leaving(table.type, after, 100):
            after = leaving[-1].key
            for imported in leaving:
                await self._delete(table, imported, done)
        return done

    async def _delete(self, table: Table, imported: Imported, done: Done) -> None:
        gone = {kind: number + 1 for kind, number in imported.versions.items()}
        entries = [
            {"request": {"method": "DELETE", "url": f"{kind}/{imported.id}", "ifMatch": etag(number)}}
            for kind, number in imported.versions.items()
        ]
        try:
            await self.transact(entries, [replace(imported, versions=gone, leaving=False)])
        except FhirError as error:
            done.refusals.append(refusal(table, f"id {imported.id}", error))
        else:
            done.counts[table.name, "deleted"] += 1

    async def transact(
        self, entries: list[dict[str, Any]], record: Sequence[Imported], accounts: Sequence[Account] = ()
    ) -> None:
        """Carry out the entries, the record of them and the accounts as one transaction; raises FhirError."""

        async def recorded(session: Session) -> None:
            await self._record.record(record, session)
            await self._users.put([account.user for account in accounts], session)
            names = {name: account.user.id for account in accounts for name in account.names}
            await self._names.assign(names, session)

        database = RecordingDatabase.of(self._shared.database, recorded)
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        context = Context(replace(self._shared, database=database), self._base_url, quiet=True)
        await handle(context, Request("POST", "", resource=bundle))
        for account in accounts:
            if account.user.disabled:
                await self._grants.revoke_user(account.user.id)

    async def imported(self, table: Table, rows: Iterable[Row]) -> dict[str, Imported]:
        """Return what was imported of these rows before."""
        return await self._record.find([f"{table.type}/{row.id}" for row in rows])

    async def erased(self, rows: Sequence[Row]) -> set[str]:
        """Return the ids of those patients, among the rows' own, whose data was erased here."""
        user_ids = {row.id for row in rows if isinstance(row, User)}
        user_ids |= {user_id for row in rows if (user_id := getattr(row, "user_id", None)) is not None}
        return await self._erasures.among(sorted(user_ids))

    async def kept_files(self, rows: Iterable[MedicalDocument]) -> dict[str, bytes]:
        """Return the files that earlier imports brought in with these rows, as long as they point to the same file."""
        paths = {row.id: row.file_url for row in rows}
        documents = await self._shared.resources.read_many("DocumentReference", sorted(paths))
        binaries = await self._shared.resources.read_many("Binary", sorted(paths))
        kept: dict[str, bytes] = {}
        for name in documents.keys() & binaries.keys():
            if documents[name].deleted or binaries[name].deleted:
                continue
            document = medical_documents.from_fhir(values.decode(documents[name].json))
            if document.file_url == paths[name]:
                kept[name] = b64decode(values.decode(binaries[name].json).get("data", ""))
        return kept

    async def around(
        self, table: Table, rows: Iterable[Row], files: Mapping[str, bytes] | None = None
    ) -> MappingContext:
        """Return what the rows' resources are made with, deleted or not."""
        ids_by_type: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            for kind, resource_id in referred(table.name, row):
                ids_by_type[kind].add(resource_id)
        resources: dict[Key, Any] = {}
        for kind, ids in ids_by_type.items():
            last_versions = await last_of(self._shared.resources, kind, sorted(ids))
            resources |= {
                (kind, name): decoded(last.version.json, self._base_url) for name, last in last_versions.items()
            }
        return MappingContext(resources, self._clock, files or {})

    async def rivals(self, table: Table, planned: Iterable[Planned]) -> dict[str, Any]:
        """Return the rows that may have the place of these, as resources by id, as far as they are here."""
        names = sorted({rival for each in planned for rival in each.rivals})
        if not names:
            return {}
        stored = await self._shared.resources.read_many(table.type, names)
        return {name: decoded(version.json, self._base_url) for name, version in stored.items() if not version.deleted}

    async def taken(self, places: Iterable[tuple[str, datetime]]) -> set[tuple[str, datetime]]:
        """Return those of the doctors' times at which an appointment begins that was not imported.

        An imported one is compared as its source has it now, not as it is stored.
        """
        keys = {
            (beginning_key("date", moment), f"actor=Practitioner/{doctor_id}"): (doctor_id, moment)
            for doctor_id, moment in places
        }
        if not keys:
            return set()
        doctors = HasKey(tuple(sorted({doctor for _, doctor in keys})))
        moments = sorted({moment for moment, _ in keys})
        rows = await self._shared.search.by_keys("Appointment", moments, doctors, _MOST_BOOKED, None, ())
        keys_by_id = {row.id: frozenset(row.keys or ()) for row in rows}
        imported = await self._record.find([f"Appointment/{name}" for name in keys_by_id])
        own = [
            written
            for name, written in keys_by_id.items()
            if f"Appointment/{name}" not in imported and written.isdisjoint(_WITHOUT_PLACE)
        ]
        return {place for pair, place in keys.items() if any(written.issuperset(pair) for written in own)}

    async def current(self, planned: Iterable[Planned]) -> dict[Key, Version]:
        """Return the current versions of the resources that the rows are, or were."""
        ids_by_type: defaultdict[str, set[str]] = defaultdict(set)
        for each in planned:
            for kind in {resource["resourceType"] for resource in each.resources} | set(
                each.imported.versions if each.imported else ()
            ):
                ids_by_type[kind].add(each.row.id)
        current: dict[Key, Version] = {}
        for kind, ids in ids_by_type.items():
            versions = await self._shared.resources.read_many(kind, sorted(ids))
            current |= {(kind, resource_id): version for resource_id, version in versions.items()}
        return current

    async def accounts(self, rows: Sequence[Row]) -> Accounts:
        """Return the maker of the accounts of rows."""
        accounts = Accounts(self._users, self._names)
        people = [row for row in rows if isinstance(row, User)]
        if people:
            await accounts.look(people)
        return accounts


def refusal(table: Table, place: str, error: FhirError) -> Refusal:
    """Return what the report says of a row that was refused; the values that the engine shows are a patient's."""
    issues = [{**issue.to_fhir(), "diagnostics": _SHOWN.sub("The value", issue.diagnostics)} for issue in error.issues]
    return Refusal(table.name, place, (table.name,), error.status, issues)
