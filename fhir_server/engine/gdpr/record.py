"""A copy of all that is held of a patient: the patient's own resources, the files in full, and whom they refer to.

It is told entry by entry, so that a long record with many files need not be in memory at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fhir_server.auth.permission.compartment import of_patient, shared
from fhir_server.engine.context import Context, instant, now
from fhir_server.engine.gdpr.belonging import AUDIT, names, references
from fhir_server.engine.versions import new_id
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.ast import Criterion, Query
from fhir_server.search.query.conditions import NOTHING, Condition, HasId
from fhir_server.store.search.search import Row

_AT_ONCE = 100
_BYTES_AT_ONCE = 8 * 1024 * 1024
_NAMED = frozenset({
    "HealthcareService", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole",
})  # fmt: skip
"""Types that are nobody's data, without which a record could not be understood."""


async def record(context: Context, patient: str) -> AsyncIterator[Row]:
    """Yield the patient's resources, the Patient first, and then those that they refer to.

    The patient's documents may lead to files, and invoices to payments, that bear no patient's name, so the context is
    the server's own: whoever calls has made sure that the patient asks. A link is followed only to what is nobody's, or
    where whoever wrote it had the right to its target.
    """
    types = await context.services.search.types()
    beside: set[tuple[str, str]] = set()
    places: set[tuple[str, str]] = set()
    for resource_type in sorted(types, key=lambda name: (name != "Patient", name)):
        condition = NOTHING if resource_type == AUDIT else of_patient(resource_type, patient)
        async for row in _rows(context, resource_type, condition):
            places.add((row.type, row.id))
            beside.update(await _beside(context, row))
            yield row
    for key in sorted(beside - places):
        async for row in _rows(context, key[0], HasId((key[1],))):
            if await _goes_with(context, row, patient):
                yield row


async def _goes_with(context: Context, row: Row, patient: str) -> bool:
    """Return whether a resource that the record leads to is no file of another, and a payment of the invoice."""
    if row.type == "PaymentReconciliation":
        version = await context.services.resources.read(row.type, row.id)
        return version is not None and f"Invoice/{row.id}" in version.links
    if row.type != "Binary":
        return True
    guard = values.decode(row.json).get("securityContext")
    return guard is None or names(guard.get("reference"), context.base_url) == f"Patient/{patient}"


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
        page = await context.services.search.page(plan, limit=_AT_ONCE, cursor=cursor, room=_BYTES_AT_ONCE)
        for row in page.rows:
            yield row
        if page.next is None:
            return
        cursor = page.next


async def _beside(context: Context, row: Row) -> set[tuple[str, str]]:
    """Return what a resource refers to that tells who and what is meant, and the files and payments that go with it."""
    places: set[tuple[str, str]] = set()
    if row.type == "Invoice":
        places.add(("PaymentReconciliation", row.id))
    if b"Binary/" in row.json:
        version = await context.services.resources.read(row.type, row.id)
        links = version.links if version else ()
        places |= {("Binary", link.partition("/")[2]) for link in links if link.startswith("Binary/")}
    for text in references(values.decode(row.json)):
        named = local(text, context.base_url)
        if named and named.type in _NAMED and shared(named.type) is None:
            places.add((named.type, named.id))
    return places
