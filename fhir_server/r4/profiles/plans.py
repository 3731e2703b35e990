"""Plans of profiles: what a snapshot demands beyond the base specification, compiled to checks of values.

A resource is checked against the base specification first (`r4.validation`), so a plan keeps only what its profile
adds: most elements of a snapshot repeat their base, and cost nothing. Plans are compiled at their first use.
https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import NamedTuple

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.profiles.bindings import ItemCheck
from fhir_server.r4.profiles.definitions import Definitions, split_canonical
from fhir_server.r4.profiles.discriminators import SliceMatching
from fhir_server.r4.profiles.element_checks import checks_of
from fhir_server.r4.profiles.items import Item, fields_of, items_of
from fhir_server.r4.profiles.run import Json, Run
from fhir_server.r4.profiles.slices import Slice, Slicing
from fhir_server.r4.profiles.snapshot.generate import SnapshotError, Trees
from fhir_server.r4.profiles.snapshot.tree import Node
from fhir_server.r4.profiles.specification import base_element
from fhir_server.r4.validation.faults import Fault, Scope
from fhir_server.work.budget import spend

_MOST_PLANS = 600
_STEPS = 20
"""What the check of a value by one plan counts for."""


class ElementPlan:
    """What a profile demands of one value of an element: its own checks, and those of its children."""

    __slots__ = ("checks", "children", "suffix")

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.checks: list[ItemCheck] = []
        self.children: list[FieldPlan] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is demanded."""
        return not self.checks and not self.children

    def faults(self, item: Item, run: Run) -> Iterator[Fault]:
        """Yield what is wrong with a value, each fault with its path from where the item's parent stands."""
        for check in self.checks:
            for path, code, text, severity in check(item, run):
                yield Fault(item.place + path, code, described(text, self.suffix), severity)
        if self.children and isinstance(item.children, dict):
            for child in self.children:
                for path, code, text, severity in child.faults(item, run):
                    yield Fault(item.place + path, code, text, severity)


def described(text: str, suffix: str) -> str:
    """Return a text with the profile and element that demand it, unless it names those of an inner profile."""
    return text if text.endswith("]") else text + suffix


class FieldPlan:
    """What a profile demands of an element's values together: how many there are, and in which slices."""

    __slots__ = ("element", "id", "max", "min", "must_support", "name", "profile", "slicing")

    def __init__(self, name: str, id_: str, profile: str, element: ElementPlan) -> None:
        self.name = name
        self.id = id_
        self.profile = profile
        self.element = element
        self.min = 0
        self.max: int | None = None
        self.must_support = False
        self.slicing: Slicing | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is demanded."""
        return self.element.is_empty and not self.min and self.max is None and not (self.slicing or self.must_support)

    def faults(self, parent: Item, run: Run) -> Iterator[Fault]:
        """Yield what is wrong with the values of the element."""
        type_name = parent.type if isinstance(parent.value, dict) else "Element"
        items = items_of(parent.children, fields_of(type_name, self.name))
        count = len(items)
        place = "." + self.name.removesuffix("[x]")
        if count < self.min:
            yield Fault(place, "required", f"{_times(self.min)} needed, and there {_are(count)}.{self.element.suffix}")
        if self.max is not None and count > self.max:
            yield Fault(place, "structure", f"{_at_most(self.max)}, and there {_are(count)}.{self.element.suffix}")
        if not items:
            if self.must_support and run.everything:
                run.unsupported.setdefault(self.profile, []).append(self.id)
            if self.slicing is None:
                return
        runs = [entered(item, parent, run) for item in items]
        if not self.element.is_empty:
            for item, inner in zip(items, runs, strict=True):
                yield from self.element.faults(item, inner)
        if self.slicing is not None:
            yield from self.slicing.faults(place, items, runs)


def _times(count: int) -> str:
    return "One is" if count == 1 else f"{count} are"


def _at_most(count: int) -> str:
    return "None is allowed here" if count == 0 else f"At most {count} {'is' if count == 1 else 'are'} allowed"


def _are(count: int) -> str:
    return {0: "is none", 1: "is one"}.get(count, f"are {count}")


def entered(item: Item, parent: Item, run: Run) -> Run:
    """Return the run as it goes on in an item: in a resource within another, that is the one around it."""
    value = item.value
    if item.type not in RESOURCE_TYPES or not isinstance(value, dict) or value is run.scope.resource:
        return run
    if ".contained" in item.place[:10]:
        return run.inside(Scope(value, run.scope))
    around = run.scope.resource
    url = parent.value.get("fullUrl") if isinstance(parent.value, dict) else None
    is_bundle = around.get("resourceType") == "Bundle"
    return run.inside(Scope(value), around if is_bundle else None, url if isinstance(url, str) else None)


class ProfilePlan(NamedTuple):
    """The plan of a whole profile: `type` is the one that it constrains, `contexts` where an extension may stand."""

    url: str
    type: str
    element: ElementPlan
    contexts: tuple[tuple[str, str], ...] = ()
    context_invariants: tuple[str, ...] = ()
    is_modifier: bool = False


class Plans:
    """The plans of profiles by canonical, those used last kept. Threads may share it."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._plans: OrderedDict[str, ProfilePlan | SnapshotError] = OrderedDict()
        self._lock = Lock()

    def plan(self, canonical: str) -> ProfilePlan:
        """Return the plan of a profile; raises SnapshotError where it is unknown or cannot be compiled."""
        with self._lock:
            plan = self._plans.get(canonical)
            if plan is not None:
                self._plans.move_to_end(canonical)
        if plan is None:
            plan = self._compiled(canonical)
            with self._lock:
                self._plans[canonical] = plan
                while len(self._plans) > _MOST_PLANS:
                    self._plans.popitem(last=False)
        if isinstance(plan, SnapshotError):
            raise plan
        return plan

    def _compiled(self, canonical: str) -> ProfilePlan | SnapshotError:
        url, version = split_canonical(canonical)
        structure = self.definitions.structure(url, version)
        if structure is None:
            return UnknownProfile(f"The profile {canonical[:300]} is not known to this server.")
        try:
            return compile_profile(structure, self.definitions)
        except SnapshotError as error:
            return error

    def faults(self, canonical: str, item: Item, run: Run) -> list[Fault]:
        """Return what a value breaks of a profile; a warning where the profile cannot be used."""
        inner = run.checking(canonical, item.value)
        if inner is None:
            return []
        spend(_STEPS)
        try:
            plan = self.plan(canonical)
        except SnapshotError as error:
            code = "not-found" if isinstance(error, UnknownProfile) else "not-supported"
            return [Fault(item.place, code, f"Not checked against {canonical[:300]}: {error}", "warning")]
        if not _is_of(item.type, plan.type):
            text = f"The profile {plan.url} is one of {plan.type}, and this is a {item.type}."
            return [Fault(item.place, "structure", text)]
        return list(plan.element.faults(item, inner))


class UnknownProfile(SnapshotError):
    """No definition has the canonical."""


_ABSTRACT = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})


def _is_of(type_name: str, profiled: str) -> bool:
    quantities = ("Age", "Count", "Distance", "Duration")
    return type_name == profiled or profiled in _ABSTRACT or (profiled == "Quantity" and type_name in quantities)


def compile_profile(structure: Json, definitions: Definitions) -> ProfilePlan:
    """Return the plan of a StructureDefinition; raises SnapshotError."""
    url, version = str(structure.get("url")), structure.get("version")
    trees = Trees(definitions)
    root = trees.named(f"{url}|{version}" if version else url, url)
    of_type = structure.get("derivation") != "constraint"
    return ProfilePlan(
        url,
        root.name,
        _Compiler(trees, root, url, definitions, of_type=of_type).element(root, root.name),
        tuple((str(each.get("type")), str(each.get("expression"))) for each in structure.get("context") or ()),
        tuple(structure.get("contextInvariant") or ()),
        bool(root.element.get("isModifier")),
    )


class _Compiler:
    def __init__(self, trees: Trees, root: Node, url: str, definitions: Definitions, *, of_type: bool) -> None:
        self._url = url
        self._definitions = definitions
        self._of_type = of_type
        self._matching = SliceMatching(trees, root, url)

    def element(self, node: Node, id_: str) -> ElementPlan:
        """Return what is demanded of one value of an element."""
        plan = ElementPlan(f" [{self._url}, element {id_}]")
        plan.checks = checks_of(node, base_element(node.element), self._definitions, of_type=self._of_type)
        if node.element.get("max") != "0":
            fields = (self._field(child, f"{id_}.{child.name}") for child in node.children)
            plan.children = [each for each in fields if not each.is_empty]
        return plan

    def _field(self, node: Node, id_: str) -> FieldPlan:
        element, base = node.element, base_element(node.element)
        field = FieldPlan(node.name, id_, self._url, self.element(node, id_))
        field.min = _raised(element, base)
        field.max = _lowered(element, base)
        field.must_support = bool(element.get("mustSupport"))
        if node.slices:
            field.slicing = self._slicing(node, node.slices, id_, element.get("slicing") or {})
        return field

    def _slicing(self, node: Node, slices: list[Node], id_: str, slicing: Json) -> Slicing | None:
        """Return the slicing of an element by its slices, those of a slice among them."""
        outer = [each for each in slices if not _is_within(each, slices)]
        discriminators = slicing.get("discriminator") or []
        if not discriminators:
            return None
        rules, ordered = str(slicing.get("rules", "open")), bool(slicing.get("ordered"))
        plan = Slicing(f" [{self._url}, element {id_}]", rules, ordered)
        try:
            plan.slices += [self._slice(each, slices, id_, discriminators) for each in outer]
        except SnapshotError as error:
            return Slicing(plan.suffix, unchecked=str(error))  # all else that the profile says still holds
        return plan

    def _slice(self, node: Node, slices: list[Node], id_: str, discriminators: list[Json]) -> Slice:
        name = str(node.slice_name)
        slice_id = f"{id_}:{name}"
        inner = [each for each in slices if str(each.slice_name).startswith(f"{name}/")]
        return Slice(
            name,
            self._matching.predicate(node, discriminators),
            int(node.element.get("min", 0)),
            _number(node.element.get("max")),
            self.element(node, slice_id),
            self._slicing(node, inner, slice_id, node.element.get("slicing") or {}) if inner else None,
        )


def _is_within(node: Node, slices: list[Node]) -> bool:
    outer = str(node.slice_name).rpartition("/")[0]
    return bool(outer) and any(each.slice_name == outer for each in slices)


def _number(maximum: object) -> int | None:
    return int(maximum) if isinstance(maximum, str) and maximum.isdigit() else None


def _raised(element: Json, base: Json | None) -> int:
    least = element.get("min", 0)
    return int(least) if base is None or least != base.get("min", 0) else 0


def _lowered(element: Json, base: Json | None) -> int | None:
    most = element.get("max")
    return _number(most) if base is None or most != base.get("max") else None
