"""Validation of a resource by profiles: those it claims, those that are asked for, and the definitions of extensions.

The resource has been found valid by the base specification (`r4.validation`) before.
https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fhir_server.r4 import ucum
from fhir_server.r4.definitions import RESOURCE_TYPES, Element, table
from fhir_server.r4.profiles.definitions import STRUCTURES
from fhir_server.r4.profiles.extensions import Names, extension_faults
from fhir_server.r4.profiles.items import Item, items_of, root_item, type_of
from fhir_server.r4.profiles.plans import Plans, entered
from fhir_server.r4.profiles.run import Json, NoTerminology, Resolve, Run, Terminology, resolve_nothing
from fhir_server.r4.validation.faults import Fault, Scope, shown, step
from fhir_server.work.budget import spend

_STEPS = 4
_MOST_NAMED = 40
_QUANTITIES = frozenset({"Age", "Count", "Distance", "Duration", "Quantity"})


class _Place(NamedTuple):
    item: Item
    parent: Item
    names: Names
    run: Run


def claimed_profiles(resource: Json) -> list[str]:
    """Return the canonicals in `meta.profile`."""
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    return [each for each in profiles if isinstance(each, str)] if isinstance(profiles, list) else []


def validate_profiles(
    resource: Json,
    plans: Plans,
    *,
    profiles: Sequence[str] = (),
    terminology: Terminology | None = None,
    resolve: Resolve = resolve_nothing,
    everything: bool = True,
) -> list[Fault]:
    """Return what a resource breaks of the profiles that it claims, of `profiles`, and of its extensions' definitions.

    With `everything` also warnings and information; a profile that is not known is a warning. Each fault's path goes
    on from the resource. What `terminology`, `resolve` and the plans' definitions raise, passes.
    """
    scope = Scope(resource)
    bundle = resource if resource.get("resourceType") == "Bundle" else None
    run = Run(plans, scope, terminology or NoTerminology(), resolve, everything, bundle)
    faults: list[Fault] = []
    root = root_item(resource)
    for profile in dict.fromkeys([*profiles, *claimed_profiles(resource)]):
        faults += plans.faults(profile, root, run)
    for place in _places(root, run):
        spend(_STEPS)
        faults += _faults_at(place, is_root=place.item is root)
    faults += _unsupported(run)
    return list(dict.fromkeys(faults))


def _faults_at(place: _Place, *, is_root: bool) -> Iterator[Fault]:
    item, parent, names, run = place
    if item.type == "Extension":
        yield from extension_faults(item, parent, names, run)
    elif item.type == "Coding":
        yield from _coding_faults(item, run, "error")
    elif run.everything and item.type in _QUANTITIES:
        # Only told: R4's own examples count in codes that its code systems do not have.
        yield from _coding_faults(item, run, "warning")
    if item.type in RESOURCE_TYPES and not is_root and isinstance(item.value, dict):
        for profile in claimed_profiles(item.value):
            yield from run.plans.faults(profile, item, run)
    if run.everything and isinstance(item.value, dict) and "." not in item.type and item.type != "Extension":
        for fault in run.plans.faults(STRUCTURES + item.type, item, run):
            # What R4 itself refuses is for the base validation to say, so that $validate says what every write does.
            yield fault._replace(severity="warning") if fault.severity == "error" else fault


def _coding_faults(item: Item, run: Run, severity: str) -> Iterator[Fault]:
    value: Any = item.value
    if not isinstance(value, dict):
        return
    system, code, version = value.get("system"), value.get("code"), value.get("version")
    if (
        not isinstance(system, str) or not isinstance(code, str) or system == ucum.SYSTEM
    ):  # which the base validation looks at
        return
    if run.terminology.is_code(system, version if isinstance(version, str) else None, code) is False:
        text = f"{shown(code)} is not a code of the code system {system[:200]}."
        yield Fault(f"{item.place}.code", "code-invalid", text, severity)


def _places(root: Item, run: Run) -> Iterator[_Place]:
    """Yield every object of a resource, and every primitive with extensions; outer ones first."""
    pending = [_Place(root, root, Names(root.type), run)]
    while pending:
        place = pending.pop()
        yield place
        node = place.item.children
        if isinstance(node, dict):
            below = list(_below(place, node))
            below.reverse()
            pending += below


def _below(place: _Place, node: Json) -> Iterator[_Place]:
    item, _, names, run = place
    elements = _elements(item.type if isinstance(item.value, dict) else "Element")
    for key, value in node.items():
        if not isinstance(value, (dict, list)) or elements is None:
            continue
        element = elements.get(key.removeprefix("_"))
        if element is None or (element.primitive and not key.startswith("_")):
            continue
        for child in _children(element, value, node):
            inner = child._replace(place=item.place + child.place)
            if child.type == "Extension":
                yield _Place(inner, item, names, run)
            elif child.type in RESOURCE_TYPES:
                yield _Place(inner, item, Names(child.type), entered(child, item, run))
            else:
                yield _Place(inner, item, Names(child.type, names, element.choice or element.name), run)


def _children(element: Element, value: Any, node: Json) -> Iterator[Item]:
    """Yield the members of an element that are objects, or primitives with a sibling."""
    if element.primitive:
        yield from (each for each in items_of(node, (element,)) if each.sibling is not None)
        return
    place = step(element.choice or element.name)
    if isinstance(value, dict):
        yield Item(place, type_of(element, value), value)
        return
    for index, each in enumerate(value):
        if isinstance(each, dict):
            yield Item(f"{place}[{index}]", type_of(element, each), each)


def _elements(type_name: str) -> dict[str, Element] | None:
    try:
        return table(type_name).elements
    except KeyError:
        return None


def _unsupported(run: Run) -> Iterator[Fault]:
    """Yield, for each profile, which of its must-support elements have no value."""
    for profile, ids in run.unsupported.items() if run.everything else ():
        named = list(dict.fromkeys(ids))
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        text = f"Must-support elements without a value: {', '.join(named[:_MOST_NAMED])}{more}. [{profile}]"
        yield Fault("", "informational", text, "information")
