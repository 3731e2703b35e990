"""How the resources of a type are indexed: which paths to evaluate, and what to write of what they find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from fhir_server.r4.fhirpath import FhirPathError, Item, Path, compile_path
from fhir_server.search.index.element_paths import implicit_systems
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import SORTED_BY
from fhir_server.search.params import (
    composites,
    dates,
    numbers,
    positions,
    quantities,
    references,
    strings,
    tokens,
    uris,
)
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
    "special": positions.index,
}


class IndexPlan(NamedTuple):
    """What to do for a resource type: evaluate each path once, and write what it finds under each name."""

    parameters: Mapping[str, Parameter]
    paths: tuple[tuple[Path, tuple[tuple[str, Write, str], ...]], ...]
    """With each name, how the keys begin that stand in the order of values; empty where there are none."""
    composites: tuple[tuple[Path, str, Write], ...]
    unions: tuple[tuple[str, frozenset[str]], ...]


_plans: dict[str, IndexPlan] = {}

_MOST_OVERRUNS = 5
_overruns: Counter[str] = Counter()


def note_overrun(resource_type: str, codes: Iterable[str]) -> None:
    """Remember that an expression of these parameters took more steps than it may; official ones are trusted."""
    _overruns.update(code for code in codes if code not in official_parameters(resource_type))


def take_too_costly() -> frozenset[str]:
    """Return the codes of added parameters whose expressions took too many steps again and again; count anew."""
    codes = frozenset(code for code, times in _overruns.items() if times >= _MOST_OVERRUNS)
    for code in codes:
        del _overruns[code]
    return codes


def index_plan(resource_type: str) -> IndexPlan:
    """Return the plan of a resource type, compiled once until the set of parameters changes."""
    current = indexed_parameters(resource_type)
    plan = _plans.get(resource_type)
    if plan is None or plan.parameters is not current:
        plan = _plans[resource_type] = _compile(resource_type, current)
    return plan


def _compile(resource_type: str, by_code: Mapping[str, Parameter]) -> IndexPlan:
    by_path: dict[str, list[tuple[str, Write, str]]] = {}
    composites, unions = [], []
    for parameter in by_code.values():
        if parameter.parts and parameter.only is None:
            unions.append((parameter.code, frozenset(parameter.parts)))
        elif not parameter.branches or parameter.code in UNINDEXED:
            continue
        elif parameter.type == "composite":
            path = compile_path(parameter.expression, resource_type)
            composites.append((path, parameter.code, _composite(parameter, resource_type)))
        else:
            by_path.setdefault(parameter.expression, []).append(
                (parameter.code, _writer(parameter), _sorted_prefix(parameter))
            )
    paths = tuple((compile_path(text, resource_type), tuple(names)) for text, names in by_path.items())
    return IndexPlan(by_code, paths, tuple(composites), tuple(unions))


def _sorted_prefix(parameter: Parameter) -> str:
    has_order = parameter.type in SORTED_BY and parameter.only is None and not parameter.phonetic
    return f"{parameter.code}{SORTED_BY[parameter.type]}" if has_order else ""


def _writer(parameter: Parameter) -> Write:
    if parameter.only is not None:
        return _identifiers
    if parameter.phonetic:
        return strings.index_phonetic
    if parameter.type == "string" and parameter.code in strings.SORTED_BACKWARDS:
        return strings.index_sortable
    systems = implicit_systems(parameter.branches) if parameter.type == "token" else {}
    return partial(tokens.index, systems=systems) if systems else _WRITERS[parameter.type]


def _identifiers(name: str, items: list[Item], entry: Entry) -> None:
    """Write what a restricted reference does not share with the whole one: its identifiers."""
    logical = [item for item in items if isinstance(item.value, dict) and "identifier" in item.value]
    if logical:
        references.index(name, [Item(item.type, {"identifier": item.value["identifier"]}) for item in logical], entry)


def _composite(parameter: Parameter, resource_type: str) -> Write:
    expressions = [component.expression for component in parameter.components]
    writers = [_writer(component.parameter) for component in parameter.components]
    tuples = keeps_tuples(parameter, resource_type)

    def write(name: str, items: list[Item], entry: Entry) -> None:
        for item in items:
            parts = [_part(expression, item, entry.resource) for expression in expressions]
            if all(parts):
                composites.index(name, parts, entry, writers, tuples=tuples)

    return write


def _part(expression: str, item: Item, resource: dict[str, Any]) -> list[Item]:
    try:
        return compile_path(expression, item.type)(item.value, resource)
    except FhirPathError:
        return []


def keeps_tuples(parameter: Parameter, resource_type: str) -> bool:
    """Return whether a composite's parts are stored together: not where they are elements of the resource itself."""
    official = official_parameters(resource_type)
    own = all(component.parameter.code in official for component in parameter.components)
    return not own or parameter.branches != (resource_type,)
