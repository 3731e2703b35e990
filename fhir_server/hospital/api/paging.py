"""Lists, page by page: the envelope of every list, and cursors that only their own list understands."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from fhir_server.engine.search import page_token
from fhir_server.errors import FhirError
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.fhir import Criteria
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=100, description="The most items that the answer holds.")]
Cursor = Annotated[str | None, Query(max_length=4000, description="`next` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """A page of a list; `next` is the cursor of the page that follows, null on the last one."""

    items: list[Item]
    total: int = Field(description="The number of items on all pages.")
    next: str | None = None


def page_of(server: FacadeServer, name: str, items: Sequence[Item], limit: int, cursor: str | None) -> Page[Item]:
    """Return the page of a list that is known as a whole; raises Problem for a cursor of another list."""
    start = 0 if cursor is None else _opened(server, name, cursor, int)
    following = start + limit
    more = following < len(items)
    return Page(
        items=list(items[start:following]), total=len(items), next=sealed(server, name, following) if more else None
    )


async def searched(
    caller: Caller, resource_type: str, criteria: Criteria, limit: int, cursor: str | None
) -> Page[dict[str, Any]]:
    """Return a page of what a search of a type finds, in its order; raises Problem for a cursor of another list.

    Another FHIR server may tell no total: then everything is read, and cut here.
    """
    place = None if cursor is None else _opened(caller.server, resource_type, cursor, int | str)
    if not isinstance(place, int):
        parameters = [*criteria, ("_count", str(limit)), ("_total", "accurate")]
        page = await caller.fhir.search(resource_type, parameters, token=place)
        if page.total is not None or place is not None:
            following = sealed(caller.server, resource_type, page.next) if page.next else None
            return Page(items=page.matches, total=page.total or 0, next=following)
    everything = await caller.fhir.all(resource_type, criteria)
    return page_of(caller.server, resource_type, everything.matches, limit, cursor)


def sealed(server: FacadeServer, name: str, place: Any) -> str:
    """Return the cursor of a place in the list of that name."""
    return page_token.seal(server.services.signing_key, [name, place])


def opened(server: FacadeServer, name: str, cursor: str) -> str:
    """Return the place, a text, that a cursor of the list of that name stands for; raises Problem for any other."""
    place: str = _opened(server, name, cursor, str)
    return place


def _opened(server: FacadeServer, name: str, cursor: str, kind: type | UnionType) -> Any:
    try:
        value = page_token.unseal(server.services.signing_key, cursor)
    except (FhirError, UnicodeEncodeError) as error:
        raise Problem("bad_cursor") from error
    if isinstance(value, list) and len(value) == 2 and value[0] == name and _is(value[1], kind):
        return value[1]
    raise Problem("bad_cursor")


def _is(place: Any, kind: type | UnionType) -> bool:
    return isinstance(place, kind) and not isinstance(place, bool)
