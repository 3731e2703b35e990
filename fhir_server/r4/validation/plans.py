"""Plans: what the table of a type says, arranged so that checking an object costs one look-up and a call per property.

Everything that depends only on which properties an object has (unknown and missing elements, choices, invariants such
as `low.exists() or high.exists()`) is decided once for each such set, its shape. The values are then checked by one
function each. https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES, Element, Invariant, Table, code_set, table
from fhir_server.r4.validation.arrays import PairCheck, many, primitive_pair, too_deep
from fhir_server.r4.validation.bindings import code_check, concept_rule, ucum_rule
from fhir_server.r4.validation.containment import contained_are_used, contained_faults
from fhir_server.r4.validation.faults import Check, Fault, Faults, Rule, Scope, misplaced, placed, shown, step
from fhir_server.r4.validation.invariants import enforced, primitive_with, shape_faults, value_rules
from fhir_server.r4.validation.narrative import xhtml
from fhir_server.r4.validation.primitives import PRIMITIVES, element_id
from fhir_server.r4.validation.references import absolute_url_rule, reference_rule
from fhir_server.work.budget import spend

# A type has few shapes in real data; the bound is against callers who permute properties to fill the memory.
_MOST_SHAPES = 512
_STEPS = 8
"""What the check of an object counts for."""


class Shape:
    """What holds for all objects of a type that have the same properties in the same order."""

    __slots__ = ("checks", "faults", "pairs", "rules", "steps")

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.checks: list[Check] = []
        self.pairs: list[tuple[str, str, PairCheck]] = []
        self.rules: tuple[Rule, ...] = ()
        self.faults: list[Fault] = []


class Plan:
    """The shapes of one type met so far, and how to make another.

    `needs_content` says that an `id` alone is not enough (the invariant ele-1): so it is everywhere but in a resource
    and beside the value of a primitive.
    """

    def __init__(
        self, source: Table, invariants: tuple[Invariant, ...], rules: tuple[Rule, ...], needs_content: bool
    ) -> None:
        self.table = source
        self.invariants = enforced(source.invariants + invariants)
        self.rules = rules + value_rules(source, self.invariants)
        self.needs_content = needs_content and source.kind != "resource"
        self.shapes: dict[tuple[str, ...], Shape] = {}

    def shape(self, keys: tuple[str, ...]) -> Shape:
        """Return the shape of an object with these properties; sound ones are kept."""
        shape = Shape()
        shape.rules = self.rules
        for key in keys:
            shape.steps.append(self._step(key))
            shape.checks.append(self._check(key, keys, shape))
        shape.faults.extend(self._shape_faults(keys))
        if not shape.faults and len(self.shapes) < _MOST_SHAPES:
            self.shapes[keys] = shape
        return shape

    def _step(self, key: str) -> str:
        element = self.table.elements.get(key.removeprefix("_"))
        return step(key) if element is None else step(element.choice or element.name)

    def _check(self, key: str, keys: tuple[str, ...], shape: Shape) -> Check:
        if key == "resourceType" and self.table.kind == "resource":
            return _sound
        element = self.table.elements.get(key)
        if element is not None:
            paired = element.primitive and element.many and "_" + key in keys
            return _sound if paired else element_check(element)
        element = self.table.elements.get(key[1:]) if key.startswith("_") else None
        if element is None or not _may_have_sibling(element):
            shape.faults.append(Fault(step(key), "structure", self._unknown(key)))
            return _sound
        if element.many:
            shape.pairs.append((element.name, step(element.name), _pair_check(element)))
            return _sound
        return _sibling_check(element.type, beside_value=element.name in keys)

    def _unknown(self, key: str) -> str:
        types = [each.name for each in self.table.elements.values() if each.choice == key]
        if types:
            return f"{key} has to be written with its type, for example {types[0]}."
        return f"{self.table.name} has no element {shown(key)}."

    def _shape_faults(self, keys: tuple[str, ...]) -> Iterator[Fault]:
        present = frozenset(key.removeprefix("_") for key in keys)
        if not keys:
            yield Fault("", "structure", "An object must not be empty.")
        elif self.needs_content and keys == ("id",):
            yield Fault("", "invariant", "ele-1: All FHIR elements must have a @value or children.")
        groups: dict[str, list[str]] = {}
        for element in self.table.elements.values():
            named = groups.setdefault(element.choice or element.name, [])
            if element.name in present:
                named.append(element.name)
        for element in self.table.elements.values():
            named = groups.pop(element.choice or element.name, ["seen already"])
            if element.min and not named:
                yield Fault(step(element.choice or element.name), "required", f"{element.path} is required.")
            if len(named) > 1:
                yield Fault(step(element.choice or ""), "structure", f"Only one is allowed of {', '.join(named)}.")
        yield from shape_faults(self.table, self.invariants, present)


def _may_have_sibling(element: Element) -> bool:
    # XML attributes, ids (whose type is FHIRPath's String) and xhtml cannot have extensions.
    return element.primitive and not element.attribute and element.name != "id" and element.type != "xhtml"


def _sound(_value: Any, _depth: int, _scope: Scope) -> Faults:
    return None


def _object_check(plan: Plan) -> Check:
    shapes = plan.shapes

    def check(node: Any, depth: int, scope: Scope) -> Faults:
        if type(node) is not dict:
            return misplaced("an object", node)
        if depth <= 0:
            return too_deep()
        spend(_STEPS)
        shape = shapes.get(tuple(node)) or plan.shape(tuple(node))
        depth -= 1
        faults: Faults = list(shape.faults) if shape.faults else None
        for check_value, place, value in zip(shape.checks, shape.steps, node.values(), strict=True):
            more = check_value(value, depth, scope)
            if more is not None:
                faults = placed(faults, place, more)
        for name, place, check_pair in shape.pairs:
            more = check_pair(node.get(name), node["_" + name], depth, scope)
            if more is not None:
                faults = placed(faults, place, more)
        for rule in shape.rules:
            more = rule(node, scope)
            if more is not None:
                faults = placed(faults, "", more)
        return faults

    return check


_WITH_UNITS = frozenset({"Age", "Coding", "Count", "Distance", "Duration", "Quantity"})


@cache
def type_check(
    name: str,
    targets: tuple[str, ...] = (),
    binding: str | None = None,
    invariants: tuple[Invariant, ...] = (),
    *,
    beside_value: bool = False,
    nested: bool = False,
) -> Check:
    """Return the check of an object of a type, with what the element adds that holds it.

    `nested` is an extension within an extension, whose url may be relative.
    """
    source = table(name)
    rules: list[Rule] = []
    if name == "Reference":
        rules.append(reference_rule(targets))
    codings = None if binding is None else code_set(binding)
    if codings is not None:
        rules.append(concept_rule(codings, str(binding)))
    if name in _WITH_UNITS:
        rules.append(ucum_rule)
    if name == "Extension" and not nested:
        rules.append(absolute_url_rule)
    if "contained" in source.elements:
        rules.append(contained_are_used)
    return _object_check(Plan(source, invariants, tuple(rules), needs_content=not beside_value))


def _sibling_check(type_: str, *, beside_value: bool) -> Check:
    return type_check(type_, beside_value=beside_value)


def _pair_check(element: Element) -> PairCheck:
    lone, beside = _sibling_check(element.type, beside_value=False), _sibling_check(element.type, beside_value=True)
    return primitive_pair(_single_check(element), lone, beside)


@cache
def element_check(element: Element) -> Check:
    """Return the check of an element's value in JSON."""
    one = _single_check(element)
    return many(one) if element.many else one


def _single_check(element: Element) -> Check:
    if element.type == "Resource":
        return _contained_check if element.name == "contained" else resource_check
    if element.type == "xhtml":
        return xhtml
    if element.primitive:
        return primitive_with(_primitive_check(element), element)
    nested = element.path == "Extension.extension"
    return type_check(element.type, element.targets, element.binding, element.invariants, nested=nested)


def _primitive_check(element: Element) -> Check:
    if element.binding is not None:
        return code_check(element)
    if element.attribute and element.name == "id":
        return element_id
    return PRIMITIVES[element.type]


def _type_faults(node: Any) -> Faults:
    if type(node) is not dict:
        return misplaced("a resource", node)
    name = node.get("resourceType")
    if name is None:
        return [Fault("", "structure", "A resource needs its resourceType.")]
    if not isinstance(name, str) or name not in RESOURCE_TYPES:
        text = shown(name) if isinstance(name, str) else "This"
        return [Fault("", "structure", f"{text} is not a resource type of FHIR R4.")]
    return None


def resource_check(node: Any, depth: int, _scope: Scope | None = None) -> Faults:
    """Check a resource that stands for itself: the whole body, an entry of a Bundle, a parameter of Parameters."""
    faults = _type_faults(node)
    return faults or type_check(node["resourceType"])(node, depth, Scope(node))


def _contained_check(node: Any, depth: int, scope: Scope) -> Faults:
    faults = _type_faults(node)
    if faults:
        return faults
    below = type_check(node["resourceType"])(node, depth, Scope(node, scope))
    return placed(below, "", contained_faults(node)) or None
