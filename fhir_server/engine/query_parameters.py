"""Which parameters each interaction takes in its URL, and that it takes no other.

A parameter that were accepted without effect would pass for one that has it: `POST Patient?identifier=1` for a
conditional create, `DELETE ...?_hardDelete=true` for a purge. Only a search may pass over what it does not know, and
says so in its answer. https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.engine.context import Request
from fhir_server.engine.routes import Route
from fhir_server.errors import BadRequest

FORM = frozenset({"_format", "_pretty"})
"""Parameters about how the answer is written, which every interaction takes."""

_PART = FORM | {"_summary", "_elements"}

HISTORY = _PART | {"_since", "_at", "_count", "_page", "_sort"}

TAKEN: Mapping[str, frozenset[str] | None] = {
    "capabilities": _PART | {"mode"},
    "read": _PART,
    "vread": _PART,
    "create": FORM,
    "update": FORM,
    "patch": FORM,
    "delete": FORM,
    # Criteria of their own, which are read by the strict rules of search.
    "conditional-update": None,
    "conditional-patch": None,
    "conditional-delete": None,
    "history-instance": HISTORY,
    "history-type": HISTORY,
    "history-system": HISTORY,
    # Search parameters; what is unknown is refused or told.
    "search-type": None,
    "search-system": None,
    # The inputs of their definitions.
    "operation": None,
    "batch": FORM,
    "async-status": FORM,
    "async-cancel": FORM,
    "async-file": FORM,
}
"""The parameters that an interaction takes; None where its own module reads them, and refuses the others."""

_INSTEAD = {
    "create": "criteria of a conditional create stand in the header If-None-Exist",
    "update": "criteria stand after the type alone, as in {type}?identifier=...",
    "patch": "criteria stand after the type alone, as in {type}?identifier=...",
    "delete": "criteria stand after the type alone, as in {type}?identifier=...",
}

_REPLACES = frozenset({"update", "patch", "delete", "conditional-update", "conditional-patch", "conditional-delete"})
_READS = frozenset({"read", "vread", "capabilities"})
_IF_NONE_EXIST = ("if_none_exist", "ifNoneExist", frozenset({"create"}))
_OF_ENTRIES = (
    _IF_NONE_EXIST,
    ("if_match", "ifMatch", _REPLACES),
    ("if_none_match", "ifNoneMatch", _REPLACES | _READS),
    ("if_modified_since", "ifModifiedSince", _READS),
)
_OF_HEADERS = (("if_none_exist", "If-None-Exist", _IF_NONE_EXIST[2]),)
"""Of a direct request's headers only this one is FHIR's own; RFC 9110 says when the others are passed over."""


def require_known(request: Request, route: Route) -> None:
    """Raise BadRequest for a parameter, or a condition, that the interaction does not take, naming it."""
    taken = TAKEN[route.interaction]
    if taken is not None and request.query:
        for name, value in request.query:
            if name not in taken:
                raise BadRequest(_refusal(name, taken, route), code="not-supported")
            if value == "" and name not in FORM:
                raise BadRequest(f"The parameter {name} has no value.", code="value")
    for attribute, name, interactions in _OF_ENTRIES if request.place else _OF_HEADERS:
        if getattr(request, attribute) is not None and route.interaction not in interactions:
            raise BadRequest(f"{name} has no meaning for the interaction {route.interaction}.", code="not-supported")


def _refusal(name: str, taken: frozenset[str], route: Route) -> str:
    text = f"The interaction {route.interaction} takes no parameter {name[:80]!r}; it takes {', '.join(sorted(taken))}."
    instead = _INSTEAD.get(route.interaction, "").format(type=route.type)
    return f"{text} The {instead}." if instead else text
