"""Reference: the forms that `Reference.reference` may have, and the types that it may point to.

What is a URI and of none of the forms is kept, with a warning where warnings are asked for.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.references import conditional, is_absolute, is_uri, literal
from fhir_server.r4.validation.faults import Fault, Faults, Rule, Scope, shown


def absolute_url_rule(node: dict[str, Any], _scope: Scope) -> Faults:
    """Check that the url of an extension is absolute. https://hl7.org/fhir/R4/extensibility.html#Extension"""
    url = node.get("url")
    if not isinstance(url, str) or is_absolute(url):
        return None
    text = f"{shown(url)} is relative, which only the url of an extension within an extension may be."
    return [Fault(".url", "value", text)]


def reference_rule(targets: tuple[str, ...]) -> Rule:
    """Return the rule for a Reference that may point to `targets`; to any type if there are none or Resource is one."""
    allowed = RESOURCE_TYPES if not targets or "Resource" in targets else frozenset(targets)

    def rule(node: dict[str, Any], scope: Scope) -> Faults:
        reference, declared = node.get("reference"), node.get("type")
        faults: list[Fault] = []
        target = None
        if isinstance(reference, str):
            target = _target(reference, scope, faults)
        if isinstance(declared, str):
            _check_declared(declared, target, faults)
            target = target or declared
        if target in RESOURCE_TYPES and target not in allowed:
            text = f"A {target} cannot be referred to here; allowed: {', '.join(sorted(allowed))}."
            faults.append(Fault(".reference" if reference else ".type", "value", text))
        return faults or None

    return rule


def _target(reference: str, scope: Scope, faults: list[Fault]) -> str | None:
    """Return the type that the reference points to, where its text or the contained resource tells."""
    target = literal(reference)
    if target is not None:
        return target.type
    if is_absolute(reference):
        return None
    if reference.startswith("#"):
        return _contained_target(reference[1:], scope, faults)
    # A search instead of an id: legal within a transaction, where it is resolved before anything is stored.
    criteria = conditional(reference)
    if criteria is not None:
        return criteria[0]
    text = f"{shown(reference)} is neither [type]/[id], an absolute URL, nor #[id] of a contained resource"
    if is_uri(reference):
        faults.append(Fault(".reference", "value", f"{text}: it is kept as it is, and leads nowhere.", "warning"))
    else:
        faults.append(Fault(".reference", "value", f"{text}."))
    return None


def _contained_target(id_: str, scope: Scope, faults: list[Fault]) -> str | None:
    if not id_:
        return str(scope.root.get("resourceType"))  # "#" is the container itself
    type_ = scope.contained().get(id_)
    if type_ is None:
        text = f"ref-1: SHALL have a contained resource if a local reference is provided; there is no {shown(id_)}."
        faults.append(Fault("", "invariant", text))
    return type_


def _check_declared(declared: str, target: str | None, faults: list[Fault]) -> None:
    # Only a logical model, which no REST API serves, is named by an absolute URL.
    if declared not in RESOURCE_TYPES and not is_absolute(declared):
        faults.append(Fault(".type", "value", f"{shown(declared)} is not a resource type."))
    elif target and declared in RESOURCE_TYPES and declared != target:
        faults.append(Fault(".type", "value", f"The type is {declared} but the reference points to a {target}."))
