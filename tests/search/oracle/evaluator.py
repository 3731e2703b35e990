"""The evaluator: which resources of a small world a search finds, read straight from the specification.

It looks at every resource for every criterion, knows no index, and shares no code with the server.
https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.search.oracle.elements import elements
from tests.search.oracle.matching import Place, Refused, holds
from tests.search.oracle.parameters import PARAMETERS, Parameter
from tests.search.oracle.texts import split

Resource = dict[str, Any]


@dataclass
class World:
    """All live resources there are, and where they are searched."""

    place: Place
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def add(self, resources: Iterable[Resource]) -> None:
        """Put resources into the world."""
        self.resources.update(((each["resourceType"], each["id"]), each) for each in resources)

    def search(self, resource_type: str, criteria: Sequence[tuple[str, str]]) -> set[str]:
        """Return the ids of the resources of a type that meet all criteria; raises Refused where one is not allowed."""
        return {
            resource["id"]
            for resource in self._of(resource_type)
            if all([self.meets(resource, name, value) for name, value in criteria])
        }

    def _of(self, resource_type: str) -> list[Resource]:
        return [each for (result, _), each in self.resources.items() if result == resource_type]

    def meets(self, resource: Resource, name: str, value: str) -> bool:
        """Return whether a resource meets one criterion."""
        if name.startswith("_has:"):
            return self._has(resource, name, value)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if code == "_id":
            return resource["id"] in value.split(",")
        parameter = PARAMETERS[resource["resourceType"]][code]
        if dot:
            return self._chain(resource, parameter, modifier, rest, value)
        return self._simple(resource, parameter, modifier or None, value)

    def _simple(self, resource: Resource, parameter: Parameter, modifier: str | None, value: str) -> bool:
        if modifier == "missing":
            return (value == "true") is not self._present(resource, parameter)
        values = split(value, ",")
        if modifier == "not":
            return not any([self._one(resource, parameter, None, each) for each in values])
        return any([self._one(resource, parameter, modifier, each) for each in values])

    def _present(self, resource: Resource, parameter: Parameter) -> bool:
        if parameter.type == "composite":
            return any(
                all(elements(whole, path) for _, path in parameter.parts) for whole in _wholes(resource, parameter)
            )
        return any(elements(resource, path) for path in parameter.paths)

    def _one(self, resource: Resource, parameter: Parameter, modifier: str | None, value: str) -> bool:
        if parameter.type == "composite":
            return self._composite(resource, parameter, value)
        items = [each for path in parameter.paths for each in elements(resource, path)]
        return any([holds(parameter.type, modifier, value, each, self.place) for each in items])

    def _composite(self, resource: Resource, parameter: Parameter, value: str) -> bool:
        values = split(value, "$")
        if len(values) != len(parameter.parts):
            raise Refused(value)
        return any(
            all(
                any(holds(kind, None, expected, each, self.place) for each in elements(whole, path))
                for (kind, path), expected in zip(parameter.parts, values, strict=True)
            )
            for whole in _wholes(resource, parameter)
        )

    # --- Chains --------------------------------------------------------------------------------------------------

    def _chain(self, resource: Resource, parameter: Parameter, qualifier: str, rest: str, value: str) -> bool:
        return any(
            self.meets(target, rest, value)
            for target in self._targets(resource, parameter)
            if qualifier in ("", target["resourceType"]) and _knows(target["resourceType"], rest)
        )

    def _targets(self, resource: Resource, parameter: Parameter) -> list[Resource]:
        items = [each.value.get("reference", "") for path in parameter.paths for each in elements(resource, path)]
        keys = [tuple(each.removeprefix(f"{self.place.base_url}/").split("/")[:2]) for each in items]
        return [self.resources[key] for key in keys if len(key) == 2 and key in self.resources]

    def _has(self, resource: Resource, name: str, value: str) -> bool:
        _, source, code, rest = name.split(":", 3)
        parameter = PARAMETERS[source][code]
        return any(
            self.meets(each, rest, value)
            for each in self._of(source)
            if any(target is resource for target in self._targets(each, parameter))
        )


def _wholes(resource: Resource, parameter: Parameter) -> list[Resource]:
    return [each.value for path in parameter.paths for each in elements(resource, path)]


def _knows(resource_type: str, name: str) -> bool:
    head = name.partition(".")[0].partition(":")[0]
    return head in ("_id", "_has") or head in PARAMETERS.get(resource_type, {})


__all__ = ["Place", "Refused", "World"]
