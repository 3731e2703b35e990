"""Extensions by their definitions: what they may hold, where they may stand, and whether they modify.

https://hl7.org/fhir/R4/defining-extensions.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import table
from fhir_server.r4.fhirpath import FhirPathError
from fhir_server.r4.profiles.items import Item
from fhir_server.r4.profiles.plans import ProfilePlan, UnknownProfile
from fhir_server.r4.profiles.run import Run
from fhir_server.r4.profiles.snapshot.generate import SnapshotError
from fhir_server.r4.references import is_absolute
from fhir_server.r4.validation.faults import Fault, shown

_HL7 = "http://hl7.org/fhir/StructureDefinition/"
_ALSO_AT = {
    f"{_HL7}structuredefinition-fhir-type": (("element", "ElementDefinition.type"),),
    f"{_HL7}regex": (("element", "ElementDefinition.type"),),
    f"{_HL7}structuredefinition-normative-version": (("element", "Element"),),
    f"{_HL7}translation": (("element", "ValueSet.expansion.contains"),),
    f"{_HL7}valueset-concept-comments": (("element", "CodeSystem.concept"),),
}
"""Where R4's own definitions, code systems and expansions have extensions that their definitions allow elsewhere."""

_EXAMPLES = ("http://example.org/", "https://example.org/")
"""What R4's examples call extensions that nobody defines."""


def extension_faults(item: Item, parent: Item, names: Names, run: Run) -> list[Fault]:
    """Return what is wrong with an extension; `names` are those by which a context may call its parent."""
    url = item.value.get("url") if isinstance(item.value, dict) else None
    if not isinstance(url, str) or not is_absolute(url):
        return []  # a part of a complex extension, whose definition says what it is
    modifies = item.place[item.place.rfind(".") :].startswith(".modifierExtension")
    try:
        plan = run.plans.plan(url)
    except UnknownProfile:
        return _unknown(item, url, modifies=modifies, run=run)
    except SnapshotError as error:
        return [Fault(item.place, "not-supported", f"The extension {shown(url)} was not checked: {error}", "warning")]
    if plan.type != "Extension":
        return [Fault(f"{item.place}.url", "value", f"{shown(url)} is the URL of a profile of {plan.type}.")]
    faults = list(_misplaced(item, parent, names, plan, run, modifies=modifies))
    return faults + run.plans.faults(url, item, run)


def _unknown(item: Item, url: str, *, modifies: bool, run: Run) -> list[Fault]:
    if modifies and not url.startswith(_EXAMPLES):
        text = f"The modifier extension {shown(url)} is not known to this server, so that what it changes is not known."
        return [Fault(item.place, "extension", text)]
    if not run.everything:
        return []
    return [
        Fault(
            item.place, "informational", f"The extension {shown(url)} is unknown, and was not checked.", "information"
        )
    ]


def _misplaced(
    item: Item, parent: Item, names: Names, plan: ProfilePlan, run: Run, *, modifies: bool
) -> Iterator[Fault]:
    if plan.is_modifier and not modifies:
        yield Fault(
            item.place, "extension", f"{plan.url} changes the meaning of what has it: it is a modifierExtension."
        )
    if modifies and not plan.is_modifier:
        yield Fault(item.place, "extension", f"{plan.url} is not a modifier extension: it must be an extension.")
    contexts = (*plan.contexts, *_ALSO_AT.get(plan.url, ()))
    if plan.contexts and not any(_is_context(kind, text, parent, names, run) for kind, text in contexts):
        allowed = ", ".join(text for _, text in plan.contexts[:10])
        yield Fault(item.place, "extension", f"The extension {plan.url} cannot stand here; it may stand at: {allowed}.")
    for text in plan.context_invariants:
        if not _holds(text, parent, run):
            yield Fault(item.place, "invariant", f"The extension {plan.url} may only stand where this holds: {text}.")


def _is_context(kind: str, text: str, parent: Item, names: Names, run: Run) -> bool:
    if kind == "element":
        return text.rpartition("#")[2].removesuffix("[x]") in names.all() or text == "*"
    if kind == "extension":
        return isinstance(parent.value, dict) and parent.value.get("url") == text
    return _is_selected(text, parent, run)


def _is_selected(text: str, parent: Item, run: Run) -> bool:
    node = parent.value if parent.value is not None else parent.sibling
    resource = run.scope.resource
    try:
        selected = fhirpath.compile(text).items(resource, str(resource.get("resourceType")), resource=resource)
    except FhirPathError:
        return True  # what cannot be judged is not held against anybody
    return any(each.value is node or (not isinstance(node, dict) and each.value == node) for each in selected)


def _holds(text: str, parent: Item, run: Run) -> bool:
    try:
        return fhirpath.compile(text).holds(parent.value, parent.type, resource=run.scope.resource, root=run.scope.root)
    except FhirPathError:
        return True


# --- Names of a place -----------------------------------------------------------------------------------------------


class Names:
    """The names by which contexts call a place; worked out where an extension stands, which is seldom."""

    __slots__ = ("_above", "_name", "_type")

    def __init__(self, type_name: str, above: Names | None = None, name: str = "") -> None:
        self._type = type_name
        self._above = above
        self._name = name

    def all(self) -> frozenset[str]:
        """Return the place's types, and its path from each name of what is above it."""
        # "Element" stands for all that can have extensions.
        paths = () if self._above is None else (f"{each}.{self._name}" for each in self._above.all())
        return frozenset({*paths, self._type, *_bases(self._type), "Element"})


def _bases(type_name: str) -> Iterator[str]:
    name: str | None = type_name
    while name:
        try:
            name = table(name).base
        except KeyError:
            return
        if name:
            yield name
