"""The Parameters resource of a FHIRPath Patch, read into operations. https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.errors import BadRequest

Part = dict[str, Any]
# For each type of operation, the parts it has beside `type` and `path`.
_PARTS = {
    "add": ("name", "value"),
    "insert": ("index", "value"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}
_TEXTS = {"type": "valueCode", "path": "valueString", "name": "valueString"}
_INDEXES = ("index", "source", "destination")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a patch; `expression` is its own place in the Parameters, for error messages."""

    type: str
    path: str
    parts: dict[str, Any]
    expression: str

    @property
    def name(self) -> str:
        """The name of the element to add."""
        return str(self.parts["name"])

    @property
    def value(self) -> Part:
        """The part that holds the value."""
        return self.parts["value"]  # type: ignore[no-any-return]

    def index(self, name: str) -> int:
        """Return the index, source or destination."""
        return int(self.parts[name])


def operations(parameters: Any) -> list[Operation]:
    """Return the operations of a patch; raise BadRequest, naming the place, for what is not one."""
    listed = parameters.get("parameter", []) if isinstance(parameters, dict) else None
    if not isinstance(listed, list) or parameters.get("resourceType") != "Parameters":
        raise BadRequest("A FHIRPath Patch is a Parameters resource.", code="structure")
    return [_operation(each, f"Parameters.parameter[{number}]") for number, each in enumerate(listed)]


def _operation(parameter: Any, expression: str) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise BadRequest("Every parameter of a FHIRPath Patch is an 'operation'.", expression=expression)
    parts = _parts(parameter, expression)
    kind = parts.get("type")
    if kind not in _PARTS:
        raise BadRequest("An operation's type is one of add, insert, delete, replace and move.", expression=expression)
    expected = {"type", "path", *_PARTS[kind]}
    for name in sorted(expected ^ parts.keys()):
        fault = "needs" if name in expected else "has no"
        raise BadRequest(f"The operation {kind} {fault} part {name!r}.", expression=expression)
    return Operation(kind, parts["path"], parts, expression)


def _parts(parameter: Part, expression: str) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    parts = parameter.get("part")
    for number, part in enumerate(parts if isinstance(parts, list) else []):
        where = f"{expression}.part[{number}]"
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str) or name in by_name:
            raise BadRequest("Every part of an operation has a name of its own.", expression=where)
        by_name[name] = _part(part, name, where)
    return by_name


def _part(part: Part, name: str, where: str) -> Any:
    if name in _TEXTS:
        # The type of `name` and `path` is string, that of `type` code; writers mix them up, and nothing hangs on it.
        text = part.get("valueString", part.get("valueCode"))
        if not isinstance(text, str) or not text:
            raise BadRequest(f"The part {name!r} has a {_TEXTS[name]}.", expression=where)
        return text
    if name in _INDEXES:
        index = part.get("valueInteger")
        if isinstance(index, bool) or not isinstance(index, int):
            raise BadRequest(f"The part {name!r} has a valueInteger.", expression=where)
        return index
    return part
