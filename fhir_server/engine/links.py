"""Links that the server follows by its own rights, and who may make them.

A reference is the word of whoever wrote it. Where the server later acts on one for somebody (hands out the file of a
document, frees the slot of an appointment, tells whom an invoice is for, erases a file) it must not do more than the
writer could. So when a version is written each such link is decided once: it is stamped where the writer has the right
to its target, or where the version before bore the stamp. What is not stamped is not followed.
docs/decisions/0021-one-access-rule.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_server.r4.references import local
from fhir_server.search.query.conditions import NOTHING

if TYPE_CHECKING:
    from fhir_server.engine.context import Context
    from fhir_server.engine.writes import Write

FOLLOWED: Mapping[str, str] = {"Binary": "read", "Invoice": "read", "Slot": "update"}
"""The types of targets that the server follows links to, and what the writer of the link must be able to do there."""

_SIGNS = tuple(f"{name}/".encode() for name in FOLLOWED)
_NAMES = frozenset({"reference", "url"})


def named_links(resource: Mapping[str, Any], json: bytes, base_url: str) -> tuple[str, ...]:
    """Return the links of a resource to targets that the server would follow, as relative references.

    `json` is the same resource as bytes, which quickly tells that there are none.
    """
    if not any(sign in json for sign in _SIGNS):
        return ()
    return tuple(sorted(set(links_of(resource, base_url))))


def links_of(node: Any, base_url: str) -> Iterator[str]:
    """Yield each reference and URL of a resource that leads to a followed type on this server."""
    if isinstance(node, list):
        for item in node:
            yield from links_of(item, base_url)
    elif isinstance(node, dict):
        for name, value in node.items():
            if not isinstance(value, str):
                yield from links_of(value, base_url)
            elif name in _NAMES and (link := link_of(value, base_url)):
                yield link


def link_of(text: str, base_url: str) -> str | None:
    """Return the relative reference, without a version, that a reference or URL means; None for any other target."""
    named = local(text, base_url)
    return named.resource if named is not None and named.type in FOLLOWED else None


async def decided(context: Context, writes: Sequence[Write]) -> list[Write]:
    """Return the writes, those of one transaction together, with only the links that their writer had the right to.

    What the same transaction writes is its writer's.
    """
    named = {link for write in writes if write.draft for link in write.draft.links}
    if not named:
        return list(writes)
    own = {f"{write.draft.type}/{write.draft.id}" for write in writes if write.draft is not None}
    allowed = await _allowed(context, named - own) | own
    return [_stamped(write, allowed) for write in writes]


def leads_anywhere(context: Context) -> bool:
    """Return whether the caller has the right to every target that the server would follow a link to."""
    return all(context.access.visible(kind, interaction) is None for kind, interaction in FOLLOWED.items())


def _stamped(write: Write, allowed: set[str]) -> Write:
    if write.draft is None or not write.draft.links:
        return write
    kept = write.previous.links if write.previous else frozenset()
    links = tuple(link for link in write.draft.links if link in allowed or link in kept)
    return write if links == write.draft.links else replace(write, draft=replace(write.draft, links=links))


async def _allowed(context: Context, links: Iterable[str]) -> set[str]:
    ids: dict[str, list[str]] = {}
    for link in links:
        kind, _, resource_id = link.partition("/")
        ids.setdefault(kind, []).append(resource_id)
    allowed: set[str] = set()
    for kind, some in ids.items():
        where = context.access.visible(kind, FOLLOWED[kind])
        if where is None:
            allowed |= {f"{kind}/{resource_id}" for resource_id in some}
        elif where != NOTHING:
            visible = await context.services.resources.among(kind, some, where, context.session)
            allowed |= {f"{kind}/{resource_id}" for resource_id in visible}
    return allowed
