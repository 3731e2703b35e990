"""Bindings that a value must not leave.

Where the package cannot enumerate a value set because another body keeps it, the form of its codes is checked; the
codes themselves are for the terminology service.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_server.r4.definitions import Element
from fhir_server.r4.validation.faults import Check, Fault, Faults, Rule, Scope, shown
from fhir_server.r4.validation.primitives import PRIMITIVES

# https://www.rfc-editor.org/rfc/rfc5646#section-2.1 (BCP 47) and ISO 4217. The value set mimetypes has no such form: R4
# itself allows "json" and "xml" in it.
_FORMS: dict[str, Callable[[str], object]] = {
    "all-languages": re.compile(r"(?:[A-Za-z]{2,8}|[iIxX](?=-))(?:-[A-Za-z0-9]{1,8})*").fullmatch,
    "currencies": re.compile(r"[A-Z]{3}").fullmatch,
}


def code_check(element: Element) -> Check:
    """Return the check of an element of type code that has a binding."""
    code, codes, value_set = PRIMITIVES["code"], element.codes, str(element.binding)
    allowed = codes.__contains__ if codes is not None else _FORMS.get(value_set)
    if allowed is None:
        return code

    def check(value: Any, depth: int, scope: Scope) -> Faults:
        if type(value) is str and allowed(value):
            return None
        faults = code(value, depth, scope)
        return faults or [Fault("", "code-invalid", f"{shown(value)} is not in the required value set {value_set}.")]

    return check


def concept_rule(codings: frozenset[str], value_set: str) -> Rule:
    """Return the rule that one coding of a CodeableConcept is among `codings`, each written `system|code`."""
    text = f"No coding is in the required value set {value_set.rstrip('|')}."

    def rule(node: dict[str, Any], _scope: Scope) -> Faults:
        given = node.get("coding")
        if given is None and "extension" in node and "text" not in node:
            return None  # only an extension, such as data-absent-reason, says why there is no concept
        for coding in given if isinstance(given, list) else ():
            if isinstance(coding, dict) and f"{coding.get('system')}|{coding.get('code')}" in codings:
                return None
        return [Fault("", "code-invalid", text)]

    return rule
