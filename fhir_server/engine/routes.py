"""From method and path to a FHIR interaction: the whole REST surface in one place. https://hl7.org/fhir/R4/http.html#summary."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import MethodNotAllowed, NotFound
from fhir_server.r4.definitions import RESOURCE_TYPES


@dataclass(frozen=True, slots=True)
class Route:
    """An interaction, in FHIR's word for it, and the parts of the path that it is about."""

    interaction: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    operation: str | None = None
    compartment: str | None = None
    """The type of the resource whose compartment is searched; `id` is its id and `type` what is searched, or "*"."""


_SYSTEM = {"GET": "search-system", "POST": "batch"}
_TYPE = {
    "GET": "search-type",
    "POST": "create",
    "PUT": "conditional-update",
    "PATCH": "conditional-patch",
    "DELETE": "conditional-delete",
}
_INSTANCE = {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def route_of(method: str, path: str) -> Route:
    """Return the interaction that a method on a path is; raises NotFound or MethodNotAllowed."""
    method = "GET" if method == "HEAD" else method
    parts = path.split("/") if path else []
    if "" in parts:
        raise NotFound(f"There is nothing at /{path[:200]}.", code="not-found")
    if not parts:
        return Route(_interaction(_SYSTEM, method, path))
    first = parts[0]
    if first[0] in "$_" or first == "metadata":
        return _system(method, path, parts)
    if first in OPERATIONS_ONLY and len(parts) == 2 and parts[1].startswith("$"):
        return _type(method, path, parts)
    _require_type(first)
    if len(parts) == 1:
        return Route(_interaction(_TYPE, method, path), first)
    if parts[1][0] in "$_":
        return _type(method, path, parts)
    if len(parts) == 2:
        return Route(_interaction(_INSTANCE, method, path), first, parts[1])
    return _instance(method, path, parts)


def allowed(path: str) -> str:
    """Return the methods that a path takes, as the value of Allow; raises NotFound.

    https://www.rfc-editor.org/rfc/rfc9110#name-options
    """
    try:
        route_of("OPTIONS", path)  # which is no interaction anywhere
    except MethodNotAllowed as error:
        return error.headers["Allow"]
    raise AssertionError(f"OPTIONS is an interaction on /{path}.")


def _system(method: str, path: str, parts: list[str]) -> Route:
    match parts:
        case ["metadata"]:
            return Route(_interaction({"GET": "capabilities"}, method, path))
        case ["_history"]:
            return Route(_interaction({"GET": "history-system"}, method, path))
        case ["_async", work]:
            return Route(_interaction({"GET": "async-status", "DELETE": "async-cancel"}, method, path), id=work)
        case ["_async", work, file]:
            return Route(_interaction({"GET": "async-file"}, method, path), id=work, version=file)
        case ["_search"]:
            return Route(_interaction({"POST": "search-system"}, method, path))
        case [name] if name.startswith("$"):
            return Route(_interaction(_OPERATION, method, path), operation=name[1:])
    raise NotFound(f"There is nothing at /{path[:200]}.")


def _type(method: str, path: str, parts: list[str]) -> Route:
    match parts:
        case [name, "_history"]:
            return Route(_interaction({"GET": "history-type"}, method, path), name)
        case [name, "_search"]:
            return Route(_interaction({"POST": "search-type"}, method, path), name)
        case [name, operation] if operation.startswith("$"):
            return Route(_interaction(_OPERATION, method, path), name, operation=operation[1:])
    raise NotFound(f"There is nothing at /{path[:200]}.")


def _instance(method: str, path: str, parts: list[str]) -> Route:
    match parts:
        case [name, resource_id, "_history"]:
            return Route(_interaction({"GET": "history-instance"}, method, path), name, resource_id)
        case [name, resource_id, "_history", version]:
            return Route(_interaction({"GET": "vread"}, method, path), name, resource_id, version)
        case [name, resource_id, operation] if operation.startswith("$"):
            return Route(_interaction(_OPERATION, method, path), name, resource_id, operation=operation[1:])
        case [name, resource_id, "_history", version, operation] if operation.startswith("$"):
            return Route(_interaction(_OPERATION, method, path), name, resource_id, version, operation[1:])
        case [compartment, resource_id, name]:
            return _compartment(_interaction({"GET": "search-type"}, method, path), compartment, resource_id, name)
        case [compartment, resource_id, name, "_search"]:
            return _compartment(_interaction({"POST": "search-type"}, method, path), compartment, resource_id, name)
    raise NotFound(f"There is nothing at /{path[:200]}.")


OPERATIONS_ONLY = frozenset({"ViewDefinition"})
"""Types of other specifications, which have operations here and are not stored."""
_OPERATION = {"GET": "operation", "POST": "operation"}
COMPARTMENTS = frozenset({"Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"})


def _compartment(interaction: str, compartment: str, resource_id: str, name: str) -> Route:
    if compartment not in COMPARTMENTS:
        raise NotFound(f"{compartment} is not a compartment; those are {', '.join(sorted(COMPARTMENTS))}.")
    if name != "*":
        _require_type(name)
    return Route(interaction, name, resource_id, compartment=compartment)


def _require_type(name: str) -> None:
    if name not in RESOURCE_TYPES:
        raise NotFound(f"{name[:80]!r} is not a resource type of FHIR R4.", code="not-supported")


def _interaction(methods: dict[str, str], method: str, path: str) -> str:
    interaction = methods.get(method)
    if interaction is None:
        error = MethodNotAllowed(f"{method[:20]} is not allowed on /{path[:200]}; it takes {', '.join(methods)}.")
        error.headers["Allow"] = ", ".join([*methods, *(["HEAD"] if "GET" in methods else ()), "OPTIONS"])
        raise error
    return interaction
