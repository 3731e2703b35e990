"""A copy of all that is held of a patient: the patient's own resources, the files in full, and whom they refer to.

It is told entry by entry, so that a long record with many files need not be in memory at once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable

from fhir_server.auth.compartment import of_patient
from fhir_server.engine.context import Context, instant, now
from fhir_server.engine.gdpr.belonging import AUDIT, files, references
from fhir_server.engine.versions import new_id
from fhir_server.r4 import values
from fhir_server.search.ast import Criterion, Query
from fhir_server.search.conditions import NOTHING, Condition, HasId
from fhir_server.search.query import compile_query
from fhir_server.store.search import Row

_AT_ONCE = 100
_REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/.+)?")
_NAMED = frozenset({
    "HealthcareService", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole",
})  # fmt: skip
"""Types that are nobody's data, without which a record could not be understood."""


async def record(context: Context, patient: str) -> AsyncIterator[Row]:
    """Yield the patient's resources, the Patient first, and then those that they refer to.

    The patient's documents may lead to files, and invoices to payments, that bear no patient's name, so the context is
    the server's own: whoever calls has made sure that the patient asks.
    """
    types = await context.services.search.types()
    beside: set[tuple[str, str]] = set()
    told: set[tuple[str, str]] = set()
    for resource_type in sorted(types, key=lambda name: (name != "Patient", name)):
        condition = NOTHING if resource_type == AUDIT else of_patient(resource_type, patient)
        async for row in _rows(context, resource_type, condition):
            told.add((row.type, row.id))
            beside.update(_beside(row))
            yield row
    for key in sorted(beside - told):
        async for row in _rows(context, key[0], HasId((key[1],))):
            if is_patients_file(row, patient):
                yield row


def is_patients_file(row: Row, patient: str) -> bool:
    """Return whether a resource that the record leads to is no file of another patient."""
    if row.type != "Binary":
        return True
    whose = values.decode(row.json).get("securityContext", {}).get("reference", "")
    return "Patient/" not in whose or whose.endswith(f"Patient/{patient}")


async def record_bundle(context: Context, patient: str) -> AsyncIterator[bytes]:
    """Yield the record as the parts of a collection Bundle in JSON."""
    head = {
        "resourceType": "Bundle",
        "id": new_id(),
        "type": "collection",
        "timestamp": instant(now()),
    }
    yield values.encode(head)[:-1]
    between = b',"entry":['
    async for row in record(context, patient):
        url = values.encode(f"{context.base_url}/{row.type}/{row.id}")
        yield between + b'{"fullUrl":' + url + b',"resource":' + row.json + b"}"
        between = b","
    yield b"}" if between != b"," else b"]}"


async def _rows(context: Context, resource_type: str, condition: Condition) -> AsyncIterator[Row]:
    if condition == NOTHING:
        return
    query = Query(types=(resource_type,), criteria=(Criterion("", "", {resource_type: condition}),))
    plan, cursor = compile_query(query, access=context.access.visible), None
    while True:
        page = await context.services.search.page(plan, limit=_AT_ONCE, cursor=cursor)
        for row in page.rows:
            yield row
        if page.next is None:
            return
        cursor = page.next


def _beside(row: Row) -> Iterable[tuple[str, str]]:
    """Return what a resource refers to that tells who and what is meant, and the files and payments that go with it."""
    if row.type == "Invoice":
        yield "PaymentReconciliation", row.id
    resource = values.decode(row.json)
    if row.type not in _NAMED:
        yield from (("Binary", each) for each in files(resource))
    for text in references(resource):
        match = _REFERENCE.fullmatch(text)
        if match and match[1] in _NAMED:
            yield match[1], match[2]
