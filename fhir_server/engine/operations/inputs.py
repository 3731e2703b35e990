"""The input parameters of an operation, from the URL and from a Parameters body, checked against its definition.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.engine.context import Request
from fhir_server.engine.query_parameters import FORM
from fhir_server.errors import BadRequest, Issue
from fhir_server.r4.definitions import Operation, OperationParameter, table
from fhir_server.r4.validation import validate

_WHOLE = frozenset({"integer", "positiveInt", "unsignedInt"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """The values given for each parameter: JSON values of the parameter's type."""

    by_name: dict[str, list[Any]]

    def one(self, name: str) -> Any:
        """Return the value of a parameter that stands at most once, or None."""
        return self.by_name.get(name, [None])[0]

    def all(self, name: str) -> list[Any]:
        """Return the values of a parameter that may repeat."""
        return self.by_name.get(name, [])


def read_inputs(operation: Operation, request: Request, *, controls: frozenset[str] = FORM, max_depth: int) -> Inputs:
    """Return the inputs of a call; raises BadRequest naming a parameter that is unknown, missing, repeated or wrong.

    `controls` are names in the URL that are no inputs.
    """
    declared = {parameter.name: parameter for parameter in operation.parameter if parameter.use == "in"}
    values_by_name: dict[str, list[Any]] = {}
    in_url = [pair for pair in request.query if pair[0] not in controls]
    in_body = _from_body(operation, declared, request, max_depth)
    for name, value in [*read_url(declared, in_url, max_depth), *in_body]:
        values_by_name.setdefault(name, []).append(value)
    for name, parameter in declared.items():
        count = len(values_by_name.get(name, ()))
        if count < parameter.min:
            raise BadRequest(f"${operation.code} needs the parameter {name} ({parameter.type}).", code="required")
        if parameter.max != "*" and count > int(parameter.max):
            raise BadRequest(f"The parameter {name} of ${operation.code} stands {count} times, but may once.")
    return Inputs(values_by_name)


def read_url(
    declared: dict[str, OperationParameter], pairs: list[tuple[str, str]], max_depth: int
) -> Iterator[tuple[str, Any]]:
    """Yield the inputs that stand in the URL; raises BadRequest for one that is unknown, wrong or no primitive."""
    for name, text in pairs:
        kind = require_declared(declared, name).type or ""
        if kind not in _primitives():
            raise BadRequest(f"The parameter {name} is a {kind or 'structure'}: send it in the body, by POST.")
        value = _from_text(kind, text)
        require_valid([{"name": name, value_property(kind): value}], max_depth)
        yield name, value


def _primitives() -> frozenset[str]:
    return frozenset(_STRINGS | _WHOLE | {"boolean"})


_STRINGS = frozenset({
    "base64Binary", "canonical", "code", "date", "dateTime", "id", "instant", "markdown", "oid", "string", "time",
    "uri", "url", "uuid",
})  # fmt: skip


_TIMES = frozenset({"date", "dateTime", "instant"})


def _from_text(kind: str, text: str) -> Any:
    if kind in _TIMES:
        # In a URL a plus sign that was not escaped arrives as a space.
        return text.replace(" ", "+")
    # What is no number or boolean stays text, which the validator then refuses in its own words.
    if kind in _WHOLE and text.removeprefix("-").isdecimal() and text.isascii():
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "boolean" else text


def _from_body(
    operation: Operation, declared: dict[str, OperationParameter], request: Request, max_depth: int
) -> Iterator[tuple[str, Any]]:
    body = request.resource
    if body is None:
        return
    if not isinstance(body, dict):
        raise BadRequest(f"The body of ${operation.code} is a Parameters resource.")
    if body.get("resourceType") != "Parameters":
        yield only_resource(operation, declared, body), body
        return
    parts = body.get("parameter", [])
    parts = parts if isinstance(parts, list) else [parts]
    for position, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise BadRequest("A parameter needs a name.", expression=f"Parameters.parameter[{position}].name")
        place = f"Parameters.parameter[{position}]"
        parameter = require_declared(declared, part["name"], place)
        yield part["name"], _value(parameter, part, place, max_depth)


def only_resource(operation: Operation, declared: dict[str, OperationParameter], body: dict[str, Any]) -> str:
    """Return the name of the one input that the resource in the body can be."""
    inputs = [parameter for parameter in declared.values() if _is_resource(parameter)]
    own = [parameter for parameter in inputs if parameter.type == body.get("resourceType")]
    names = [parameter.name for parameter in own or inputs]
    if len(names) != 1:
        raise BadRequest(f"The body of ${operation.code} is a Parameters resource.", expression="resourceType")
    return names[0]


def _is_resource(parameter: OperationParameter) -> bool:
    kind = parameter.type or ""
    return kind == "Resource" or (kind not in _primitives() and kind != "" and table(kind).kind == "resource")


def _value(parameter: OperationParameter, part: dict[str, Any], place: str, max_depth: int) -> Any:
    if _is_resource(parameter):
        if not isinstance(part.get("resource"), dict):
            raise BadRequest(f"The parameter {parameter.name} holds a resource.", expression=f"{place}.resource")
        # The operation decides what a faulty resource means: for $validate it is the answer, not a fault of the call.
        return part["resource"]
    require_valid([part], max_depth)
    kind = parameter.type or ""
    names = [value_property(kind), *(["valueString"] if kind in _STRINGS else [])]
    for name in names:
        if name in part:
            return part[name]
    raise BadRequest(f"The parameter {parameter.name} needs a {names[0]}.", expression=place)


def value_property(kind: str) -> str:
    """Return the property of Parameters.parameter that holds a value of the type."""
    return f"value{kind[:1].upper()}{kind[1:]}"


def require_declared(
    declared: dict[str, OperationParameter], name: str, place: str | None = None
) -> OperationParameter:
    """Return the input of that name; raises BadRequest, which says what there is, for an unknown one."""
    if name not in declared:
        there = ", ".join(declared) or "none"
        raise BadRequest(
            f"There is no parameter {name[:80]!r} here; there are: {there}.", expression=place, code="not-supported"
        )
    return declared[name]


def require_valid(parts: list[dict[str, Any]], max_depth: int) -> None:
    """Raise BadRequest for faults of parameters, as elements of a Parameters resource."""
    faults = validate({"resourceType": "Parameters", "parameter": parts}, max_depth=max_depth)
    name = parts[0]["name"]
    issues = [
        Issue(fault.code, f"The parameter {name}: {fault.diagnostics}", fault.expression, fault.severity)
        for fault in faults
        if fault.severity in ("error", "fatal")
    ]
    if issues:
        raise BadRequest(issues=issues)
