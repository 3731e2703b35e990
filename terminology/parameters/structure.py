"""Whether a resource that came with a request has the form that the library reads.

A server validates what it stores, but not what a request brings along only to be answered by. This looks at the
elements that operations read, and at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terminology.model.concepts import Json
from terminology.model.effort import effort
from terminology.model.issues import TerminologyError, invalid

_DEEPEST = 500
_PARTS_A_STEP = 4
"""Parts of an element that cost as much to look at as one step of other work."""
_TEXT = "text"
_FLAG = "boolean"

_Schema = dict[str, Any]

_EXTENSION: _Schema = {"url": _TEXT}
_EXTENSION["extension"] = [_EXTENSION]
_CODING: _Schema = {"system": _TEXT, "version": _TEXT, "code": _TEXT, "display": _TEXT}
_DESIGNATION: _Schema = {"language": _TEXT, "value": _TEXT, "use": _CODING, "extension": [_EXTENSION]}
_VALUED: _Schema = {"code": _TEXT, "valueCode": _TEXT, "valueString": _TEXT, "valueCoding": _CODING}
_CONCEPT: _Schema = {
    "code": _TEXT,
    "display": _TEXT,
    "definition": _TEXT,
    "designation": [_DESIGNATION],
    "property": [_VALUED],
    "extension": [_EXTENSION],
}
_CONCEPT["concept"] = [_CONCEPT]
_RESOURCE: _Schema = {
    "url": _TEXT,
    "version": _TEXT,
    "id": _TEXT,
    "name": _TEXT,
    "title": _TEXT,
    "status": _TEXT,
    "language": _TEXT,
    "extension": [_EXTENSION],
}
_CODE_SYSTEM: _Schema = {
    **_RESOURCE,
    "content": _TEXT,
    "hierarchyMeaning": _TEXT,
    "supplements": _TEXT,
    "valueSet": _TEXT,
    "property": [{"code": _TEXT, "uri": _TEXT, "type": _TEXT}],
    "concept": [_CONCEPT],
}
_FILTER: _Schema = {
    "property": _TEXT,
    "op": _TEXT,
    "value": _TEXT,
    "extension": [_EXTENSION],
    "_op": {"extension": [_EXTENSION]},
}
_INCLUDE: _Schema = {
    "system": _TEXT,
    "version": _TEXT,
    "concept": [_CONCEPT],
    "filter": [_FILTER],
    "valueSet": [_TEXT],
    "extension": [_EXTENSION],
}
_CONTAINS: _Schema = {**_CODING, "abstract": _FLAG, "inactive": _FLAG, "designation": [_DESIGNATION]}
_CONTAINS["contains"] = [_CONTAINS]
_VALUE_SET: _Schema = {
    **_RESOURCE,
    "compose": {
        "inactive": _FLAG,
        "lockedDate": _TEXT,
        "property": [_TEXT],
        "include": [_INCLUDE],
        "exclude": [_INCLUDE],
        "extension": [_EXTENSION],
    },
    "expansion": {"contains": [_CONTAINS]},
}
_VALUE_SET["contained"] = [_VALUE_SET]
_DEPENDENCY: _Schema = {"property": _TEXT, "attribute": _TEXT, "system": _TEXT, "value": _TEXT, "valueCoding": _CODING}
_TARGET: _Schema = {
    "code": _TEXT,
    "display": _TEXT,
    "equivalence": _TEXT,
    "relationship": _TEXT,
    "comment": _TEXT,
    "dependsOn": [_DEPENDENCY],
    "product": [_DEPENDENCY],
}
_CONCEPT_MAP: _Schema = {
    **_RESOURCE,
    "group": [
        {
            "source": _TEXT,
            "target": _TEXT,
            "sourceVersion": _TEXT,
            "targetVersion": _TEXT,
            "element": [{"code": _TEXT, "display": _TEXT, "target": [_TARGET]}],
            "unmapped": {**_TARGET, "mode": _TEXT, "url": _TEXT, "otherMap": _TEXT},
        }
    ],
}
_SCHEMAS: dict[str, _Schema] = {"CodeSystem": _CODE_SYSTEM, "ValueSet": _VALUE_SET, "ConceptMap": _CONCEPT_MAP}


def check_structure(resource: Json) -> None:
    """Raise TerminologyError with the place of the first element that is not of its type, or nested too deeply."""
    name = resource.get("resourceType")
    if not isinstance(name, str):
        raise _not("resourceType", _TEXT)
    schema = _SCHEMAS.get(name)
    if schema is None:
        return
    waiting: list[tuple[str, Any, Any, int]] = [(str(name), resource, schema, 0)]
    while waiting:
        path, value, expected, depth = waiting.pop()
        if depth > _DEEPEST:
            raise invalid(f"{path} is nested too deeply", code="too-costly", at=path)
        parts = [(*each, depth + 1) for each in _parts(path, value, expected)]
        effort(len(parts) // _PARTS_A_STEP + 1)
        waiting.extend(parts)


def _parts(path: str, value: Any, expected: Any) -> Iterator[tuple[str, Any, Any]]:
    """Return the parts of a value that are to be looked at; raise TerminologyError for a value of another type."""
    if isinstance(expected, str):
        if not isinstance(value, str if expected == _TEXT else bool):
            raise _not(path, expected)
    elif isinstance(expected, list):
        if not isinstance(value, list):
            raise _not(path, "list")
        yield from ((f"{path}[{index}]", each, expected[0]) for index, each in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"{path}.{key}", value[key], part) for key, part in expected.items() if key in value)
    else:
        raise _not(path, "object")


def _not(path: str, kind: str) -> TerminologyError:
    return invalid(f"{path} is not a {kind}", code="structure", at=path)
