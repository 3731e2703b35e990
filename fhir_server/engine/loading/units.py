"""From the content of a part to units: bundle entries that are sent in one transaction.

A transaction bundle is one unit and stays whole. Everything else is resources of their own, put together for speed and
taken apart again where one of them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.engine.loading.parts import LINES_IN_A_PART, Part
from fhir_server.engine.transaction.references import Rewriter
from fhir_server.errors import BadRequest, FhirError
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES

Entry = dict[str, Any]
Write = Callable[[Any], Entry]
"""Makes the entry that stores a resource; raises FhirError."""

_RESOURCES = frozenset({"collection", "searchset"})
_REQUESTS = frozenset({"batch", "transaction"})
_STORED_WHOLE = frozenset({"document", "message"})
_UUID = re.compile(r"urn:uuid:([0-9a-fA-F-]{36})")


@dataclass(frozen=True, slots=True)
class Unit:
    """Entries that go together, each with its place in the file."""

    entries: tuple[Entry, ...]
    places: tuple[str, ...]
    whole: bool = False
    """Whether the file itself asks for all or nothing."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in the file that holds nothing to load, and why."""

    place: str
    error: FhirError


def units(part: Part, write: Write | None = None) -> Iterator[Unit | Unreadable]:
    """Yield what a part holds, in order; `write` makes the entry that stores a line, by the line's id unless said."""
    if part.first_line is not None:
        return _of_lines(part.data, part.first_line, write or write_by_id)
    return _of_document(part.data)


def _of_lines(data: bytes, first_line: int, write: Write) -> Iterator[Unit | Unreadable]:
    entries: list[tuple[str, Entry]] = []
    for number, line in enumerate(data.splitlines(), first_line):
        if not line.removeprefix(values.BYTE_ORDER_MARK).strip():
            continue
        try:
            entries.append((f"line {number}", write(values.decode(line))))
        except FhirError as error:
            yield Unreadable(f"line {number}", error)
    yield from _together(entries)


def _of_document(data: bytes) -> Iterator[Unit | Unreadable]:
    try:
        document = values.decode(data)
        if not isinstance(document, dict) or document.get("resourceType") != "Bundle":
            yield Unit((write_by_id(document),), ("",))
        elif document.get("type") in _REQUESTS:
            yield from _of_requests(document)
        elif document.get("type") in _RESOURCES:
            yield from _of_resources(_entries(document))
        elif document.get("type") in _STORED_WHOLE:
            yield Unit((write_by_id(document),), ("",))
        else:
            kind = str(document.get("type"))[:40]
            raise BadRequest(f"A Bundle of type {kind!r} is not something to load.", expression="Bundle.type")
    except FhirError as error:
        yield Unreadable("", error)


def _of_requests(bundle: dict[str, Any]) -> Iterator[Unit]:
    entries = _entries(bundle)
    placed = [(f"entry[{position}]", entry) for position, entry in enumerate(entries)]
    if bundle["type"] == "batch":
        yield from _together(placed)
    elif entries:
        yield Unit(tuple(entries), tuple(place for place, _ in placed), whole=True)


def _of_resources(entries: list[Entry]) -> Iterator[Unit | Unreadable]:
    rewriter = Rewriter(_targets(entries))
    writes: list[tuple[str, Entry]] = []
    for position, entry in enumerate(entries):
        place = f"entry[{position}]"
        if _mode(entry) == "outcome":
            continue
        try:
            resource = _identified(entry.get("resource"), str(entry.get("fullUrl", "")))
            writes.append((place, _rewritten(rewriter, write_by_id(resource))))
        except FhirError as error:
            yield Unreadable(place, error)
    yield from _together(writes)


def _rewritten(rewriter: Rewriter, entry: Entry) -> Entry:
    try:
        return entry | {"resource": rewriter.rewrite(entry["resource"])}
    except (KeyError, TypeError, AttributeError):
        # Rewriting trusts in what has been validated. A resource that it cannot read is refused when it is.
        return entry


def _targets(entries: list[Entry]) -> dict[str, str]:
    """Return what each fullUrl becomes: entries of one bundle may go in several transactions, so it is decided here."""
    targets: dict[str, str] = {}
    for entry in entries:
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if isinstance(url, str) and isinstance(resource, dict):
            identified = _identified(resource, url)
            if "id" in identified:
                targets[url] = f"{identified.get('resourceType')}/{identified['id']}"
    return targets


def _identified(resource: Any, full_url: str) -> Any:
    """Return the resource with an id where its fullUrl brings one, so that references to it hold."""
    uuid = _UUID.fullmatch(full_url)
    if uuid is None or not isinstance(resource, dict) or "id" in resource:
        return resource
    return {"resourceType": resource.get("resourceType"), "id": uuid[1].lower(), **resource}


def write_by_id(resource: Any) -> Entry:
    """Return the entry that stores a resource: under its id where it has one; raises BadRequest for anything else."""
    if not isinstance(resource, dict) or resource.get("resourceType") not in RESOURCE_TYPES:
        raise BadRequest("This is not a FHIR R4 resource: it has no resourceType of R4.", code="structure")
    name, resource_id = resource["resourceType"], resource.get("id")
    if resource_id is None:
        return {"resource": resource, "request": {"method": "POST", "url": name}}
    return {"resource": resource, "request": {"method": "PUT", "url": f"{name}/{resource_id}"}}


def _together(placed: list[tuple[str, Entry]]) -> Iterator[Unit]:
    for start in range(0, len(placed), LINES_IN_A_PART):
        chunk = placed[start : start + LINES_IN_A_PART]
        yield Unit(tuple(entry for _, entry in chunk), tuple(place for place, _ in chunk))


def _entries(bundle: dict[str, Any]) -> list[Entry]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadRequest("Bundle.entry must be a list of entries.", expression="Bundle.entry")
    return entries


def _mode(entry: Entry) -> Any:
    search = entry.get("search")
    return search.get("mode") if isinstance(search, dict) else None
