"""Required bindings of CodeableConcepts; those of codes are in `primitives`.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from typing import Any

from fhir_server.r4.validation.faults import Fault, Faults, Rule, Scope


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
