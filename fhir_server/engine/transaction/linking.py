"""References between the entries of a transaction: what each URL in the bundle becomes once everything is stored.

https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fhir_server.engine.context import Context
from fhir_server.engine.places import Placing
from fhir_server.engine.transaction.conditional_references import Written, resolve
from fhir_server.engine.transaction.references import Rewriter, places_of
from fhir_server.engine.transaction.transaction_entry import WITH_RESOURCE, Entry
from fhir_server.errors import BadRequest
from fhir_server.r4.patching.merge_patch import MergePatch
from fhir_server.r4.patching.xml_patch import XmlPatch
from fhir_server.r4.references import literal
from fhir_server.work.threads import breathe

_REPLACING = WITH_RESOURCE | {"delete", "conditional-delete"}
_REWRITTEN = WITH_RESOURCE | {"patch", "conditional-patch"}


async def link(context: Context, entries: list[Entry]) -> None:
    """Replace, in all resources and patches, what refers to other entries, and conditional references.

    Raises BadRequest for a URN that is no entry's, PreconditionFailed for criteria that do not find one resource.
    """
    own = f"{context.base_url}/"
    targets, versions = _targets(entries, own)
    written = [entry for entry in entries if entry.route.interaction in _REWRITTEN and not entry.existing]
    relative = _relative(targets)
    rewriter = Rewriter(targets, versions)
    for base, group in _by_base(written, own).items():
        rewriter.relative = relative.get(base, {})
        await _rewrite(group, rewriter)
    if rewriter.left:
        await _rewrite(written, Rewriter(await _resolve_left(context, entries, rewriter.left)))


def _targets(entries: Iterable[Entry], own: str) -> tuple[dict[str, str], dict[str, int]]:
    """Return what the URL of each stored entry becomes, and the version of those whose first one the bundle makes."""
    targets: dict[str, str] = {}
    versions: dict[str, int] = {}
    for entry in entries:
        url = _url(entry, own) if entry.id and entry.writes and entry.request.method != "DELETE" else None
        if url is None:
            continue
        target = targets[url] = f"{entry.route.type}/{entry.id}"
        if entry.existing is not None:
            versions[target] = entry.existing.version
        elif entry.route.interaction == "create" or entry.condition is not None:
            versions[target] = 1
    return targets, versions


def _url(entry: Entry, own: str) -> str | None:
    """Return what others call the entry: its fullUrl, or where it has none the URL of its id on this server."""
    if entry.full_url is not None:
        return entry.full_url
    resource = entry.request.resource
    resource_id = resource.get("id") if isinstance(resource, dict) and entry.route.interaction == "create" else entry.id
    return f"{own}{entry.route.type}/{resource_id}" if isinstance(resource_id, str) else None


def _by_base(entries: Iterable[Entry], own: str) -> dict[str, list[Entry]]:
    """Return the entries by the base that their relative references stand below: that of the fullUrl, or ours."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.full_url and _base(entry.full_url)) or own, []).append(entry)
    return groups


def _base(url: str) -> str | None:
    """Return what stands before type and id in a RESTful URL; None for any other."""
    named = literal(url)
    return named.base or None if named and named.version is None else None


def _relative(targets: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return, for each base, what relative references become; a resource that keeps its name keeps them too."""
    targets_by_base: dict[str, dict[str, str]] = {}
    for url, target in targets.items():
        base = _base(url)
        if base is not None and url.removeprefix(base) != target:
            targets_by_base.setdefault(base, {})[url.removeprefix(base)] = target
    return targets_by_base


async def _rewrite(entries: Iterable[Entry], rewriter: Rewriter) -> None:
    for entry in entries:
        await breathe()
        body = entry.request.resource
        new: Any
        if isinstance(body, list):
            new = rewriter.rewrite_operations(body)
        elif isinstance(body, MergePatch):
            new = rewriter.rewrite_merge_patch(body)
        elif isinstance(body, XmlPatch):
            new = rewriter.rewrite_xml_patch(body)
        else:
            new = rewriter.rewrite(body)
        if new is not body:
            entry.request = replace(entry.request, resource=new)


async def _resolve_left(context: Context, entries: list[Entry], left: Iterable[str]) -> dict[str, str]:
    """Return what the conditional references stand for; raises BadRequest for a URN that names no entry."""
    written = {
        (entry.route.type or "", resource_id): None if entry.request.method == "DELETE" else entry.request.resource
        for entry in entries
        # What a patch makes of a resource is not known yet: it is found as it is stored.
        if entry.route.interaction in _REPLACING and not entry.existing
        for resource_id in entry.written_ids
    }
    resolved: dict[str, str] = {}
    results = Written(context, written)
    places = _places(entries)
    for reference in sorted(left):
        await breathe()
        with Placing(places.get(reference, "Bundle")):
            if reference.startswith("urn:"):
                raise BadRequest(f"The reference {reference[:100]} names no entry of the transaction.")
            target = await resolve(context, reference, results)
        if target is not None:
            resolved[reference] = target
    return resolved


def _places(entries: Iterable[Entry]) -> dict[str, str]:
    """Return where each reference stands first."""
    places: dict[str, str] = {}
    for entry in entries:
        for reference, below in places_of(entry.request.resource):
            places.setdefault(reference, f"{entry.place}.resource{below}")
    return places
