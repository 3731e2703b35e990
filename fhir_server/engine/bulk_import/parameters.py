"""What an import is asked for: its Parameters, checked.

https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.engine.bulk_import.sources import require_allowed
from fhir_server.engine.context import Context
from fhir_server.errors import BadRequest
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.validation import validate
from fhir_server.store.work.bulk_imports import Input

FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
MODES = ("by-id", "by-identifier")
MOST_INPUTS = 1000

_PLACE = "Parameters.parameter"


@dataclass(frozen=True, slots=True)
class ImportParameters:
    """The parameters of an import."""

    inputs: tuple[Input, ...]
    by_identifier: bool = False
    source: str = ""


def read_parameters(context: Context, body: Any) -> ImportParameters:
    """Return what an import asks for; raises BadRequest naming the place, and Forbidden for types not to be written."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise BadRequest("The body of $import is a Parameters resource.", expression="resourceType")
    _require_valid(body, context.services.settings.max_depth)
    seen: dict[str, Any] = {}
    inputs: list[Input] = []
    for position, parameter in enumerate(body.get("parameter", ())):
        place, name = f"{_PLACE}[{position}]", parameter["name"]
        if name == "input":
            inputs.append(_input(context, parameter, place))
        elif name not in _READERS:
            there = ", ".join(("input", *_READERS))
            raise BadRequest(f"$import has no parameter {name[:80]!r}; there are: {there}.", expression=place)
        elif name in seen:
            raise BadRequest(f"The parameter {name} appears more than once.", expression=place)
        else:
            seen[name] = _READERS[name](parameter, place)
    if not inputs:
        raise BadRequest("$import needs the parameter input: where the lines are.", expression=_PLACE, code="required")
    if len(inputs) > MOST_INPUTS:
        raise BadRequest(f"$import takes at most {MOST_INPUTS} inputs at once.", expression=_PLACE, code="too-costly")
    return ImportParameters(tuple(inputs), seen.get("mode") == "by-identifier", seen.get("inputSource", ""))


def _require_valid(body: dict[str, Any], max_depth: int) -> None:
    faults = [fault for fault in validate(body, max_depth=max_depth) if fault.severity in ("error", "fatal")]
    if faults:
        raise BadRequest(issues=faults)


def _input(context: Context, parameter: dict[str, Any], place: str) -> Input:
    values: dict[str, str] = {}
    for number, part in enumerate(parameter.get("part", ())):
        where, name = f"{place}.part[{number}]", part["name"]
        if name not in ("type", "url"):
            raise BadRequest(f"An input has a type and a url, no {name[:80]!r}.", expression=where)
        if name in values:
            raise BadRequest(f"The input's {name} appears more than once.", expression=where)
        values[name] = _text(part, where)
        if name == "type":
            _require_type(context, values[name], where)
        else:
            require_allowed(context, values[name], where)
    if "url" not in values:
        raise BadRequest("An input needs a url.", expression=place, code="required")
    if "type" not in values:
        context.access.require("import", "*")
    return Input(values.get("type", ""), values["url"])


def _require_type(context: Context, name: str, place: str) -> None:
    if name not in RESOURCE_TYPES:
        raise BadRequest(f"{name[:80]!r} is not a resource type of FHIR R4.", expression=place, code="value")
    context.access.require("import", name)


def _text(parameter: dict[str, Any], place: str) -> str:
    values = [value for key, value in parameter.items() if key.startswith("value")]
    if len(values) != 1 or not isinstance(values[0], str):
        raise BadRequest(f"The parameter {parameter['name']} needs a text as its value.", expression=place)
    return values[0]


def _chosen(*choices: str) -> Callable[[dict[str, Any], str], str]:
    def read(parameter: dict[str, Any], place: str) -> str:
        text = _text(parameter, place)
        if text.partition(";")[0].strip() not in choices:
            raise BadRequest(
                f"{parameter['name']} is {' or '.join(choices)}, not {text[:80]!r}.", expression=place, code="value"
            )
        return text

    return read


def _storage(parameter: dict[str, Any], place: str) -> str:
    for number, part in enumerate(parameter.get("part", ())):
        where = f"{place}.part[{number}]"
        if part["name"] != "type" or _text(part, where) != "https":
            raise BadRequest("storageDetail has a type, which is https.", expression=where, code="not-supported")
    return "https"


_READERS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "inputFormat": _chosen(*FORMATS),
    "inputSource": _text,
    "storageDetail": _storage,
    "mode": _chosen(*MODES),
}
