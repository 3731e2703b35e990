"""What a profile can demand of one value: its type, a fixed value or pattern, limits, a binding, invariants, profiles.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from fhir_server.r4 import values
from fhir_server.r4.definitions import Invariant
from fhir_server.r4.profiles.bindings import ItemCheck, binding_check
from fhir_server.r4.profiles.comparison import fits_pattern, is_fixed
from fhir_server.r4.profiles.definitions import STRUCTURES, Definitions, split_canonical
from fhir_server.r4.profiles.items import Item, fields_of, root_item
from fhir_server.r4.profiles.references import reference_text, target_of, target_type
from fhir_server.r4.profiles.run import Json, Run
from fhir_server.r4.profiles.snapshot.elements import fixed_value
from fhir_server.r4.profiles.snapshot.tree import Node
from fhir_server.r4.validation.faults import Fault, Rule, Scope
from fhir_server.r4.validation.invariants import CHECKED_BY_CODE, UNDECIDED, invariant_rule

_LONGEST_SHOWN = 200


def checks_of(node: Node, base: Json | None, definitions: Definitions, *, of_type: bool) -> list[ItemCheck]:
    """Return the checks of one value of an element, without those that the base specification has, too.

    `of_type` says that the definition is that of a type itself: of it, what the base validation leaves out is checked.
    """
    element, base = node.element, base or {}
    checks: list[ItemCheck] = []
    checks += _type_checks(element, base)
    checks += _value_checks(element)
    checks += _binding_checks(element, base, of_type=of_type)
    checks += _invariant_checks(element, base, of_type=of_type)
    checks += _profile_checks(element, base)
    checks += _target_checks(element, base, definitions)
    return checks


# --- Type -----------------------------------------------------------------------------------------------------------


def _codes(element: Json) -> set[str]:
    return {str(each.get("code")) for each in element.get("type") or ()}


def _type_checks(element: Json, base: Json) -> Iterator[ItemCheck]:
    codes = _codes(element)
    if not codes or codes == _codes(base) or codes & {"Resource", "Element", "BackboneElement"}:
        return
    if any("/" in each for each in codes) or not base.get("type"):
        return
    allowed = ", ".join(sorted(codes))

    def check(item: Item, _run: Run) -> list[Fault]:
        if item.type in codes or (item.type == "Resource" or "." in item.type):
            return []
        return [Fault("", "structure", f"The type {item.type} is not allowed here; allowed: {allowed}.")]

    yield check


# --- Values ---------------------------------------------------------------------------------------------------------


def shown_value(value: Any) -> str:
    """Return a value as faults show it."""
    text = values.encode(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _value_checks(element: Json) -> Iterator[ItemCheck]:
    for kind, same, words in (("fixed", is_fixed, "must be exactly"), ("pattern", fits_pattern, "must have")):
        stated = fixed_value(element, kind)
        if stated is not None:
            yield _equality(stated[1], same, words)
    for kind, words in (("minValue", "at least"), ("maxValue", "at most")):
        limit = fixed_value(element, kind)
        if limit is not None:
            yield _limit(limit[1], kind == "minValue", words)
    longest = element.get("maxLength")
    if isinstance(longest, int):
        yield _length(longest)


def _equality(stated: Any, same: Any, words: str) -> ItemCheck:
    text = f"This {words} {shown_value(stated)}"

    def check(item: Item, _run: Run) -> list[Fault]:
        if item.value is None or same(item.value, stated):
            return []
        return [Fault("", "value", f"{text}, and is {shown_value(item.value)}.")]

    return check


def _limit(limit: Any, is_least: bool, words: str) -> ItemCheck:
    def check(item: Item, _run: Run) -> list[Fault]:
        value = item.value.get("value") if isinstance(item.value, dict) else item.value
        bound = limit.get("value") if isinstance(limit, dict) else limit
        if isinstance(item.value, dict) and isinstance(limit, dict) and item.value.get("code") != limit.get("code"):
            return []  # units that differ are not compared
        order = _order(value, bound)
        if order is None or (order >= 0 if is_least else order <= 0):
            return []
        return [Fault("", "value", f"This must be {words} {shown_value(limit)}.")]

    return check


def _order(value: Any, bound: Any) -> int | None:
    """Return -1, 0 or 1 as the value is below, at or above the bound; None where they cannot be compared."""
    numbers = isinstance(value, (int, Decimal)) and isinstance(bound, (int, Decimal))
    # Dates of the same precision, and times of day, are in the order of their text.
    texts = isinstance(value, str) and isinstance(bound, str) and len(value) == len(bound)
    return int(value > bound) - int(value < bound) if numbers or texts else None


def _length(longest: int) -> ItemCheck:
    def check(item: Item, _run: Run) -> list[Fault]:
        if not isinstance(item.value, str) or len(item.value) <= longest:
            return []
        return [Fault("", "too-long", f"At most {longest} characters are allowed, and there are {len(item.value)}.")]

    return check


# --- Bindings and invariants ----------------------------------------------------------------------------------------


def _bound(element: Json) -> tuple[object, str]:
    binding = element.get("binding") or {}
    return binding.get("strength"), str(binding.get("valueSet", "")).partition("|")[0]


def _binding_checks(element: Json, base: Json, *, of_type: bool) -> Iterator[ItemCheck]:
    binding = element.get("binding")
    if not isinstance(binding, dict):
        return
    if _is_enumerated(element) if of_type else _bound(element) == _bound(base):
        return
    check = binding_check(binding)
    if check is not None:
        yield check


def _is_enumerated(element: Json) -> bool:
    """Return whether the base validation knows the codes of the element's required binding."""
    parent, _, name = str(element.get("path")).rpartition(".")
    return any(each.binding is not None and each.codes is not None for each in fields_of(parent, name))


def _invariant_checks(element: Json, base: Json, *, of_type: bool) -> Iterator[ItemCheck]:
    same = [each for each in base.get("constraint") or () if not of_type or each.get("severity") == "error"]
    checked_keys = {each.get("key") for each in same} | CHECKED_BY_CODE
    for each in element.get("constraint") or ():
        if each.get("key") not in checked_keys and each.get("expression"):
            yield _invariant(each)


def _invariant(constraint: Json) -> ItemCheck:
    severity = "error" if constraint.get("severity") == "error" else "warning"
    invariant = Invariant(
        str(constraint.get("key")), severity, str(constraint.get("human")), str(constraint["expression"])
    )

    @cache
    def rule_of(type_name: str) -> Rule:
        return invariant_rule(invariant, type_name)

    def check(item: Item, run: Run) -> list[Fault]:
        if item.value is None or (severity != "error" and not run.everything):
            return []
        broken = rule_of(item.type)(item.value, run.scope) or ()
        return [each._replace(severity="warning" if each.code == UNDECIDED else severity) for each in broken]

    return check


# --- Profiles of types, and of what references point to -------------------------------------------------------------


def _profile_checks(element: Json, base: Json) -> Iterator[ItemCheck]:
    usual = {profile for each in base.get("type") or () for profile in each.get("profile") or ()}
    by_code = {
        str(each.get("code")): [profile for profile in each["profile"] if profile not in usual]
        for each in element.get("type") or ()
        if each.get("profile") and each.get("code") != "Extension"  # extensions are checked by their url
    }
    by_code = {code: profiles for code, profiles in by_code.items() if profiles}
    if not by_code:
        return

    def check(item: Item, run: Run) -> list[Fault]:
        profiles = by_code.get(item.type) or by_code.get("Resource") or []
        if not profiles or item.value is None or _is_one_of(item, profiles, run):
            return []
        faults = run.plans.faults(profiles[0], item._replace(place=""), run)
        if len(profiles) == 1:
            return faults
        return [Fault("", "structure", f"This conforms to none of {', '.join(profiles)}."), *faults]

    yield check


def _is_one_of(item: Item, profiles: list[str], run: Run) -> bool:
    return len(profiles) > 1 and any(run.conforms(each, item) for each in profiles)


def _target_checks(element: Json, base: Json, definitions: Definitions) -> Iterator[ItemCheck]:
    targets = _targets(element)
    if not targets or targets == _targets(base) or STRUCTURES + "Resource" in targets:
        return
    types: dict[str, list[str]] = {}
    for each in targets:
        types.setdefault(_type_of(each, definitions), []).append(each)

    def check(item: Item, run: Run) -> list[Fault]:
        if item.type not in ("Reference", "canonical") or item.value is None:
            return []
        target = target_of(item, run) if item.type == "Reference" else None
        named = target_type(item, target)
        if named is None or "Resource" in types or "" in types:
            return []
        profiles = types.get(named)
        place = ".reference" if isinstance(item.value, dict) and "reference" in item.value else ""
        if profiles is None:
            return [Fault(place, "structure", f"A {named} cannot be referred to here; allowed: {', '.join(types)}.")]
        return [] if target is None else _unlike(item, target, named, profiles, run)

    yield check


def _unlike(item: Item, target: Json, named: str, profiles: list[str], run: Run) -> list[Fault]:
    """Return the fault of a target that conforms to none of the profiles; the base type is one, too."""
    if STRUCTURES + named in profiles:
        return []
    held = root_item(target)
    inner = run.inside(Scope(target)) if target is not run.scope.root else run
    if any(inner.conforms(each, held) for each in profiles):
        return []
    text = (
        f"{reference_text(item.value)} does not conform to {' or '.join(profiles)}, as what is referred to here must."
    )
    return [Fault(".reference", "structure", text)]


def _targets(element: Json) -> list[str]:
    targets = [target for each in element.get("type") or () for target in each.get("targetProfile") or ()]
    return [each.removesuffix("|4.0.1") for each in targets]


def _type_of(profile: str, definitions: Definitions) -> str:
    structure = definitions.structure(*split_canonical(profile))
    return "" if structure is None else str(structure.get("type", ""))
