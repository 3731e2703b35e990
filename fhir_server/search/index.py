"""What a resource writes into the search index: `index(resource)` is merged into its stored document.

`keys` are facts as strings, for the one index that serves all parameters; `ranges` the exact bounds of dates and of
other values that are ranges, and the tuples of composites; `shape` the sorted names of the parameters that have a
value, for `:missing`. DESIGN.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fhir_server.r4.fhirpath import FhirPathError, Item, Path, compile_path
from fhir_server.search.entry import Entry
from fhir_server.search.keys import EVERY
from fhir_server.search.params import composites, dates, numbers, quantities, references, strings, tokens, uris
from fhir_server.search.registry import UNINDEXED, Parameter, indexed_parameters, official_parameters

Write = Callable[[str, list[Item], Entry], None]

_WRITERS: dict[str, Write] = {
    "string": strings.index,
    "token": tokens.index,
    "reference": references.index,
    "date": dates.index,
    "number": numbers.index,
    "quantity": quantities.index,
    "uri": uris.index,
}


class _Plan(NamedTuple):
    """What to do for a resource type: evaluate each path once, and write what it finds under each name."""

    parameters: Mapping[str, Parameter]
    paths: tuple[tuple[Path, tuple[tuple[str, Write], ...]], ...]
    composites: tuple[tuple[Path, str, Write], ...]
    unions: tuple[tuple[str, frozenset[str]], ...]


def index(resource: dict[str, Any], *, timezone: str = "UTC", base_url: str = "") -> dict[str, Any]:
    """Return the index entry of a resource, to be stored with it.

    `timezone` is the zone of times that carry no offset: the same that `parse` is given. References below `base_url`
    count as relative ones.
    """
    plan = _plan(resource["resourceType"])
    entry = Entry(timezone, base_url)
    entry.keys.append(EVERY)
    present: set[str] = set()
    for path, names in plan.paths:
        try:
            items = path(resource)
        except FhirPathError:
            # A resource that an expression cannot be evaluated on has no value for the parameter.
            continue
        if not items or not any(map(_has_value, items)):
            continue
        for name, write in names:
            present.add(name)
            write(name, items, entry)
    for path, name, write in plan.composites:
        before = len(entry.keys)
        write(name, path(resource), entry)
        if len(entry.keys) > before:
            present.add(name)
    present.update(name for name, parts in plan.unions if not present.isdisjoint(parts))
    context = resource.get("securityContext")
    if context is not None and resource["resourceType"] == "Binary":
        # R4 has no search parameter for it, but it decides who may see a Binary.
        references.index("_securityContext", [Item("Reference", context)], entry)
    found: dict[str, Any] = {"keys": list(dict.fromkeys(entry.keys)), "shape": ",".join(sorted(present))}
    if entry.ranges:
        found["ranges"] = entry.ranges
    return found


def _has_value(item: Item) -> bool:
    value = item[1]
    if value.__class__ is dict:
        return any(name not in ("extension", "id") for name in value)
    return value is not None


_plans: dict[str, _Plan] = {}


def _plan(resource_type: str) -> _Plan:
    known = indexed_parameters(resource_type)
    plan = _plans.get(resource_type)
    if plan is None or plan.parameters is not known:
        plan = _plans[resource_type] = _compile(resource_type, known)
    return plan


def _compile(resource_type: str, known: Mapping[str, Parameter]) -> _Plan:
    by_path: dict[str, list[tuple[str, Write]]] = {}
    found_composites, unions = [], []
    for parameter in known.values():
        if parameter.parts and parameter.only is None:
            unions.append((parameter.code, frozenset(parameter.parts)))
        elif not parameter.branches or parameter.code in UNINDEXED or parameter.type == "special":
            continue
        elif parameter.type == "composite":
            path = compile_path(parameter.expression, resource_type)
            found_composites.append((path, parameter.code, _composite(parameter, resource_type)))
        else:
            by_path.setdefault(parameter.expression, []).append((parameter.code, _writer(parameter)))
    paths = tuple((compile_path(text, resource_type), tuple(names)) for text, names in by_path.items())
    return _Plan(known, paths, tuple(found_composites), tuple(unions))


def _writer(parameter: Parameter) -> Write:
    if parameter.only is not None:
        return _identifiers
    if parameter.phonetic:
        return strings.index_phonetic
    return _WRITERS[parameter.type]


def _identifiers(name: str, items: list[Item], entry: Entry) -> None:
    """Write what a restricted reference does not share with the whole one: its identifiers."""
    logical = [item for item in items if isinstance(item.value, dict) and "identifier" in item.value]
    if logical:
        references.index(name, [Item(item.type, {"identifier": item.value["identifier"]}) for item in logical], entry)


def _composite(parameter: Parameter, resource_type: str) -> Write:
    expressions = [component.expression for component in parameter.components]
    writers = [_WRITERS[component.parameter.type] for component in parameter.components]
    tuples = keeps_tuples(parameter, resource_type)

    def parts(item: Item) -> list[list[Item]]:
        return [_part(expression, item) for expression in expressions]

    def write(name: str, items: list[Item], entry: Entry) -> None:
        composites.index(name, items, entry, parts, writers, tuples=tuples)

    return write


def _part(expression: str, item: Item) -> list[Item]:
    try:
        return compile_path(expression, item.type)(item.value)
    except FhirPathError:
        return []


def keeps_tuples(parameter: Parameter, resource_type: str) -> bool:
    """Return whether a composite's parts are stored together: not where they are elements of the resource itself."""
    known = official_parameters(resource_type)
    own = all(component.parameter.code in known for component in parameter.components)
    return not own or parameter.branches != (resource_type,)
