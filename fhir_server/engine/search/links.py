"""Paging links of a search: what a token holds, sealed so that it tells nothing, and kept in the database where it
would be too long.

A link carries no access: whoever follows it sees what that caller may see.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, field, replace
from typing import Any
from urllib.parse import quote

from fhir_server.engine.access import viewer
from fhir_server.engine.context import Context
from fhir_server.engine.query_parameters import FORM
from fhir_server.engine.routes import Route
from fhir_server.engine.search import page_token
from fhir_server.errors import BadRequest, Gone
from fhir_server.search.query.ast import Query
from fhir_server.search.query.url import to_url
from fhir_server.store.search.pages import Cursor, Snapshot
from fhir_server.store.search.search import Page

_LONGEST_TOKEN = 1500


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a search a page stands."""

    pairs: list[tuple[str, str]]
    """The parameters of the search."""
    types: list[str]
    number: int = 1
    cursor: Cursor | None = None
    """Where the page begins; None for the first page, and for one that is reached backwards."""
    at: Snapshot = None
    includes: int = 0
    """How many of the page's included resources earlier links have shown already."""
    total: int | None = None
    path: str = ""
    """The path of the search, without `_search`: a link works on no other."""
    named: bool = False
    """Whether the search named its types; else they are whatever there is, which is not told."""
    short: list[list[int]] = field(default_factory=list)
    """The numbers of earlier pages that ended early, for their bytes, each with how many rows it is short of."""
    typed: bool = False
    """Whether the types were asked for by name, so that what packages define of them is searched, too."""

    def before(self, limit: int) -> int:
        """Return how many rows stand on the pages before this one, where a page has `limit`."""
        return limit * (self.number - 1) - sum(lacking for number, lacking in self.short if number < self.number)


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a search stands on a page."""

    page: Page
    limit: int
    """How many rows it might have."""
    includes: int
    """How many included resources it shows."""
    more: bool
    """Whether there are more to include."""


async def link(context: Context, path: str, relation: str, place: Place) -> dict[str, str]:
    """Return the link that leads to a place."""
    state = [_maker(context, place), *astuple(replace(place, path=path))]
    token = page_token.seal(context.services.signing_key, state)
    if len(token) > _LONGEST_TOKEN:
        kept = await context.services.search.keep(state)
        token = page_token.seal(context.services.signing_key, kept)
    return {"relation": relation, "url": f"{context.base_url}/{path}?_page={quote(token)}"}


def self_url(context: Context, path: str, query: Query, route: Route, place: Place) -> str:
    """Return the URL of the search as the server understood it."""
    text = to_url(query)
    if route.type is None or route.type == "*":
        text = "&".join(part for part in (f"_type={','.join(place.types)}" if place.named else "", text) if part)
    url = f"{context.base_url}/{path}".rstrip("/")
    return f"{url}?{text}" if text else url


async def page_links(context: Context, path: str, place: Place, shown: Shown) -> list[dict[str, str]]:
    """Return the links to the pages around one."""
    links, page = [], shown.page
    if shown.more:
        beside = place.includes + shown.includes
        links.append(await link(context, path, "next", replace(place, at=page.at, includes=beside)))
    elif page.next is not None:
        lacking = shown.limit - len(page.rows)
        short = [*place.short, [place.number, lacking]] if lacking else place.short
        after = replace(place, number=place.number + 1, cursor=page.next, at=page.at, includes=0, short=short)
        links.append(await link(context, path, "next", after))
    if place.number > 1:
        number = place.number - 1
        short = [each for each in place.short if each[0] < number]
        before = replace(place, number=number, cursor=None, at=page.at or place.at, includes=0, short=short)
        links.append(await link(context, path, "previous", before))
        links.append(await link(context, path, "first", replace(before, number=1, short=[])))
    return links


_OWN_TYPES = re.compile(
    r"(?!_(has|include|revinclude|filter|list|query)\b)[a-zA-Z_-]+(:(exact|contains|missing|not|text|identifier))?"
)
"""Parameters that ask nothing of other types than those that are searched."""


def _maker(context: Context, place: Place) -> str:
    """Return the name of those who see the same of all that the search asks."""
    others = not all(
        _OWN_TYPES.fullmatch(name) and not (name == "_sort" and "." in value) for name, value in place.pairs
    )
    return viewer(context.access, place.types, others=others)


def _repeats(place: Place, pair: tuple[str, str]) -> bool:
    """Return whether a parameter beside the token is one of the search that the token leads into."""
    name, value = pair
    return pair in place.pairs or (name == "_type" and place.named and set(value.split(",")) == set(place.types))


async def followed(context: Context, path: str, query: list[tuple[str, str]], token: str) -> Place:
    """Return the place that a link leads to; `path` and `query` are those of the request.

    Raises BadRequest for a token that is not one of ours or belongs to another search, Forbidden where the caller may
    not search a type that it names, Gone for one of long ago.
    """
    state: Any = page_token.unseal(context.services.signing_key, token)
    if isinstance(state, str):
        state = await context.services.search.kept(state)
        if state is None:
            raise Gone("The paging link has expired; search again.", code="not-found")
    try:
        maker, pairs, *rest = state
        place = Place([(name, value) for name, value in pairs], *rest)
    except (TypeError, ValueError) as error:
        raise BadRequest("The paging link is not one that leads into a search.") from error
    if place.path != path or any(not _repeats(place, pair) for pair in query if pair[0] not in FORM | {"_page"}):
        raise BadRequest("The paging link belongs to another search.")
    for name in place.types if place.named else ():
        context.access.require("search-type", name)
    if maker == _maker(context, place):
        return place
    # Another caller's link: where it stood and how much there was would tell of what this caller may not see.
    return Place(place.pairs, place.types, path=path, named=place.named, typed=place.typed)


async def rows_before(context: Context, path: str, query: list[tuple[str, str]], token: str) -> int:
    """Return how many rows of a search stand on the pages before the one that a link leads to.

    Raises as `followed` does.
    """
    place = await followed(context, path, query, token)
    return place.before(_page_size(context, place))


def _page_size(context: Context, place: Place) -> int:
    settings = context.services.settings
    count = next((int(value) for name, value in place.pairs if name == "_count"), settings.default_page_size)
    return min(count, settings.max_page_size)
