"""Fields that read or search: Patient(id), PatientList and PatientConnection, as the engine's own interactions.

https://hl7.org/fhir/R4/graphql.html#searching
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fhir_server.engine.context import Context, Request
from fhir_server.engine.graphql.faults import Fault
from fhir_server.engine.graphql.nodes import text
from fhir_server.engine.search.links import rows_before
from fhir_server.errors import TooLarge
from fhir_server.r4 import values
from fhir_server.search.registry import parameters
from fhir_server.work.threads import sized

_CONTROLS = frozenset({"_count", "_sort", "_filter", "_total"})
_OWN = frozenset({"fhirpath", "_offset", "_cursor", "_reference"})
_UNESCAPED_COMMA = re.compile(r"(?<!\\),")


@dataclass(slots=True)
class Reader:
    """Reads and searches for one statement, within its limits."""

    context: Context
    left: int = field(init=False)
    """How many resources the statement may still be given."""

    def __post_init__(self) -> None:
        self.context = replace(self.context, handling="strict")
        self.left = self.context.services.settings.max_graphql_resources

    async def read(self, resource_type: str, resource_id: str) -> Any:
        """Return a resource; raises NotFound, Gone or Forbidden."""
        self._spend(1)
        return await self._answer(Request("GET", f"{resource_type}/{resource_id}"))

    async def all(self, resource_type: str, query: list[tuple[str, str]]) -> list[Any]:
        """Return every resource that a search finds; raises TooLarge rather than leaving some out."""
        limit = min(self.context.services.settings.max_page_size, self.left)
        bundle = await self._search(resource_type, [*query, ("_count", str(max(limit, 1)))])
        resources = _matches(bundle)
        while (page := _cursor(bundle, "next")) is not None:  # there are more, or these have all the bytes of a page
            if len(resources) >= limit:
                raise TooLarge(
                    f"{resource_type}List finds more than {limit} resources: give it a _count, or ask for "
                    f"{resource_type}Connection.",
                    code="too-costly",
                )
            bundle = await self._search(resource_type, [("_page", page)])
            resources += _matches(bundle)
        return resources

    async def some(self, resource_type: str, query: list[tuple[str, str]], count: int, offset: int) -> list[Any]:
        """Return `count` resources of those that a search finds, after the first `offset`."""
        resources: list[Any] = []
        limit = self.context.services.settings.max_page_size
        page: str | None = ""
        while len(resources) < offset + count and page is not None:
            parameters = [*query, ("_count", str(min(limit, offset + count)))] if page == "" else [("_page", page)]
            bundle = await self._search(resource_type, parameters)
            resources += _matches(bundle)
            page = _cursor(bundle, "next")
        return resources[offset : offset + count]

    async def connection(
        self, resource_type: str, query: list[tuple[str, str]], cursor: str | None, *, counted: bool
    ) -> dict[str, Any]:
        """Return a page of a search, with what leads to the pages around it."""
        if cursor is None:
            offset, query = 0, [*query, ("_total", "accurate")] if counted else query
        else:
            query = [*query, ("_page", cursor)]
            offset = await rows_before(self.context, resource_type, query, cursor)
        bundle = await self._search(resource_type, query)
        entries = [each for each in bundle.get("entry", ()) if each["search"]["mode"] == "match"]
        connection: dict[str, Any] = {"count": bundle.get("total"), "offset": offset, "pagesize": len(entries)}
        connection |= {relation: _cursor(bundle, relation) for relation in ("first", "previous", "next", "last")}
        connection["edges"] = [{**each["search"], "resource": each["resource"]} for each in entries]
        return connection

    async def _search(self, resource_type: str, query: list[tuple[str, str]]) -> dict[str, Any]:
        bundle: dict[str, Any] = await self._answer(Request("GET", resource_type, query))
        self._spend(len(bundle.get("entry", ())))
        return bundle

    async def _answer(self, request: Request) -> Any:
        assert self.context.dispatch is not None
        response = await self.context.dispatch(self.context, request)
        json = response.json or b"null"
        return await sized(len(json), values.decode, json)

    def _spend(self, resources: int) -> None:
        self.left -= resources
        if self.left < 0:
            limit = self.context.services.settings.max_graphql_resources
            raise TooLarge(f"The statement needs more than {limit} resources.", code="too-costly")


def parameter_name(resource_type: str, argument: str) -> str | None:
    """Return the search parameter that an argument stands for: GraphQL's names have no '-'."""
    if argument in _CONTROLS:
        return argument
    by_code = parameters(resource_type)
    if argument in by_code:
        return argument
    return next((code for code in by_code if code.replace("-", "_") == argument), None)


def is_search_argument(resource_type: str, argument: str, *, nested: bool, connected: bool) -> bool:
    """Return whether a List or Connection field takes the argument, at the root or below a resource."""
    match argument:
        case "fhirpath":
            return True
        case "_reference":
            return nested
        case "_cursor":
            return connected and not nested
        case "_offset":
            return not connected
        case "_id" if nested:
            return False
    return parameter_name(resource_type, argument) is not None


def search_query(resource_type: str, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the search that arguments ask for; values of an array are alternatives."""
    query: list[tuple[str, str]] = []
    for argument, value in arguments.items():
        if argument in _OWN:
            continue
        name = parameter_name(resource_type, argument)
        if name is None:
            raise Fault(f"{resource_type} has no search parameter for the argument {argument}.", code="not-supported")
        if name == "_filter" or name in _CONTROLS:
            query += [(name, _text(each)) for each in (value if isinstance(value, list) else [value])]
        else:
            alternatives = value if isinstance(value, list) else [value]
            query.append((name, ",".join(_UNESCAPED_COMMA.sub(r"\\,", _text(each)) for each in alternatives)))
    return query


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise Fault("The value of a search argument is a single value, or an array of such.", code="value")
    return text(value)


def _matches(bundle: dict[str, Any]) -> list[Any]:
    return [each["resource"] for each in bundle.get("entry", ()) if each["search"]["mode"] == "match"]


def _cursor(bundle: dict[str, Any], relation: str) -> str | None:
    for link in bundle.get("link", ()):
        if link["relation"] == relation:
            tokens = parse_qs(urlsplit(str(link["url"])).query).get("_page")
            return tokens[0] if tokens else None
    return None
