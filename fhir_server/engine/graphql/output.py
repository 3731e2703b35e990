"""The object that a selection gives, put together field by field: lists, single values, and what @flatten collates.

https://hl7.org/fhir/R4/graphql.html#flattening
"""

from __future__ import annotations

from typing import Any

from graphql import FieldNode

from fhir_server.engine.graphql.faults import Fault


class Output:
    """An object of the answer, while it is being put together."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self._collated: dict[str, str] = {}

    def put(self, name: str, value: Any, node: FieldNode) -> None:
        """Give a field its value; the same field twice is merged, two different values raise Fault."""
        self.fields[name] = _merged(self.fields[name], value, node) if name in self.fields else value

    def collate(self, name: str, items: list[Any], kind: str, node: FieldNode, *, single: bool) -> None:
        """Add what a field of a flattened parent has to what others had there; raises Fault for differing types."""
        if not items:
            return
        if self._collated.setdefault(name, kind) != kind:
            raise Fault(f"@flatten brings together a {self._collated[name]} and a {kind} as {name}.", node)
        if single:
            if len(items) > 1 or name in self.fields:
                raise Fault(f"@singleton: there is more than one {name}.", node, code="business-rule")
            self.fields[name] = items[0]
        else:
            self.fields.setdefault(name, []).extend(items)


def _merged(old: Any, new: Any, node: FieldNode) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        both = dict(old)
        for name, value in new.items():
            both[name] = _merged(both[name], value, node) if name in both else value
        return both
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_merged(first, second, node) for first, second in zip(old, new, strict=True)]
    if old != new:
        raise Fault("Two fields of one name have different values: give one of them an alias.", node)
    return old
