"""What a check finds, and how a fault learns its place.

A check returns None for a sound value, so that a valid resource costs no bookkeeping; a fault starts with an empty path
and every level that it passes on the way up puts its own name in front.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_LONGEST_SHOWN = 60
# A bool is an int to Python, so booleans come first.
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    ((int, float, Decimal), "a number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)


class Fault(NamedTuple):
    """A broken rule: `path` continues the FHIRPath of what was checked, `code` is from the IssueType value set.

    What is only a warning does not keep a resource from being stored.
    """

    path: str
    code: str
    text: str
    severity: str = "error"


class Scope:
    """The resource that a value is checked in, and the one that contains this resource (itself if none does)."""

    __slots__ = ("_contained", "_container", "element_ids", "resource", "root")

    def __init__(self, resource: dict[str, Any], container: Scope | None = None) -> None:
        self.resource = resource
        self.root: dict[str, Any] = resource if container is None else container.root
        self.element_ids: set[str] = set()
        self._container = container
        self._contained: dict[str, str] | None = None

    def contained(self) -> dict[str, str]:
        """Return the types of the root's contained resources by their ids."""
        if self._container is not None:
            return self._container.contained()  # which gathers them once for all
        if self._contained is None:
            resources = self.root.get("contained")
            self._contained = {
                each["id"]: str(each.get("resourceType"))
                for each in (resources if isinstance(resources, list) else ())
                if isinstance(each, dict) and isinstance(each.get("id"), str)
            }
        return self._contained


Faults: TypeAlias = list[Fault] | None
# A check sees the value, how many more levels of nesting are allowed, and the resource around it.
Check: TypeAlias = Callable[[Any, int, Scope], Faults]
# A rule sees an object whose elements have been checked already, though not necessarily found sound.
Rule: TypeAlias = Callable[[dict[str, Any], Scope], Faults]


def placed(faults: Faults, place: str, below: Iterable[Fault]) -> list[Fault]:
    """Add the faults that are `below` a place to `faults`, if there are any yet, and return them."""
    moved = [Fault(place + path, code, text, severity) for path, code, text, severity in below]
    if faults is None:
        return moved
    faults.extend(moved)
    return faults


def step(name: str) -> str:
    """Return the FHIRPath step to an element; a name that is no identifier is delimited and shortened."""
    if _IDENTIFIER(name):
        return "." + name
    return ".`" + shown(name)[1:-1].replace("`", "\\`") + "`"


def shown(text: str) -> str:
    """Return text quoted, shortened, and with what cannot be printed or encoded as escapes."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


def json_type(value: object) -> str:
    """Return how JSON calls the type of a value."""
    if value is None:
        return "null"
    for types, name in _JSON_TYPES:
        if isinstance(value, types):
            return name
    return type(value).__name__


def misplaced(expected: str, value: object) -> list[Fault]:
    """Return the fault of a value whose JSON type is not the expected one."""
    return [Fault("", "structure", f"This must be {expected}, not {json_type(value)}.")]
