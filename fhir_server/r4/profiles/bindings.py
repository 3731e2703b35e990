"""Bindings of a profile, by their strength. https://hl7.org/fhir/R4/terminologies.html#strength"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.r4.profiles.items import Item
from fhir_server.r4.profiles.run import Json, Run
from fhir_server.r4.validation.faults import Fault, shown

MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"

_SEVERITY = {"required": "error", "extensible": "warning", "preferred": "information"}
_BINDABLE = frozenset(
    {"code", "string", "uri", "Coding", "CodeableConcept", "Quantity", "Age", "Duration", "Count", "Distance"}
)

ItemCheck = Callable[[Item, Run], list[Fault]]


def codings_of(item: Item) -> list[Json]:
    """Return the codings of a coded value; of a code or unit one without more."""
    value = item.value
    if isinstance(value, str):
        return [{"code": value}]
    if not isinstance(value, dict):
        return []
    if item.type == "CodeableConcept":
        codings = value.get("coding")
        members = codings if isinstance(codings, list) else []
        return [each for each in members if isinstance(each, dict) and "code" in each]
    return [value] if "code" in value else []


def binding_check(binding: Json) -> ItemCheck | None:
    """Return the check of a binding, None where it does not demand or recommend anything."""
    value_set, severity = binding.get("valueSet"), _SEVERITY.get(str(binding.get("strength")))
    checks = []
    if isinstance(value_set, str) and severity is not None:
        checks.append(_check(value_set, str(binding["strength"]), severity))
    for extension in binding.get("extension") or ():
        widest = extension.get("valueCanonical") or extension.get("valueUri")
        if extension.get("url") == MAX_VALUE_SET and isinstance(widest, str):
            checks.append(_check(widest, "maximum", "error"))
    if not checks:
        return None
    return lambda item, run: [fault for check in checks for fault in check(item, run)]


def _check(value_set: str, strength: str, severity: str) -> ItemCheck:
    shown_url = value_set.partition("|")[0]

    def check(item: Item, run: Run) -> list[Fault]:
        if item.type not in _BINDABLE or item.value is None or (severity != "error" and not run.everything):
            return []
        codings = codings_of(item)
        if not codings:
            return _without_code(item, strength, severity, shown_url)
        answer = run.terminology.membership(value_set, codings, code_alone=isinstance(item.value, str))
        if answer.holds:
            return []
        if answer.holds is None:
            if not run.everything:
                return []
            why = answer.why or "the value set is not known to this server"
            text = f"Whether {_named(codings)} is in the value set {shown_url} ({strength}) was not checked: {why}"
            return [Fault("", "not-found", text, "warning" if severity == "error" else "information")]
        verb = "must be" if severity == "error" else "should be" if strength == "extensible" else "is best"
        text = (
            f"{_named(codings)} is not in the value set {shown_url}, from which the code {verb} ({strength} binding)."
        )
        return [Fault("", "code-invalid", text, severity)]

    return check


def _without_code(item: Item, strength: str, severity: str, value_set: str) -> list[Fault]:
    value = item.value
    if (
        item.type in ("CodeableConcept", "Coding")
        and strength in ("required", "extensible")
        and not value.get("extension")
    ):
        if strength == "extensible" and item.type == "CodeableConcept" and "text" in value:
            return []  # a text alone is what is left where no code fits
        return [Fault("", "code-invalid", f"There is no code, and one of {value_set} is {strength}.", severity)]
    return []


def _named(codings: list[Json]) -> str:
    return " or ".join(_coding(each) for each in codings[:3])


def _coding(coding: Json) -> str:
    system: Any = coding.get("system")
    code = shown(str(coding.get("code")))
    return f"{code} of {system[:100]}" if isinstance(system, str) else code
