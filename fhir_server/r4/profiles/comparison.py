"""Comparing values with what a profile fixes. https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_"""

from __future__ import annotations

from typing import Any


def is_fixed(value: Any, fixed: Any) -> bool:
    """Return whether a value is exactly the fixed one, nothing more and nothing less."""
    if isinstance(fixed, dict):
        return (
            isinstance(value, dict)
            and value.keys() == fixed.keys()
            and all(is_fixed(value[k], fixed[k]) for k in fixed)
        )
    if isinstance(fixed, list):
        pairs = zip(value, fixed, strict=True) if isinstance(value, list) and len(value) == len(fixed) else None
        return pairs is not None and all(is_fixed(one, other) for one, other in pairs)
    return isinstance(value, bool) == isinstance(fixed, bool) and bool(value == fixed)


def fits_pattern(value: Any, pattern: Any) -> bool:
    """Return whether a value has everything that the pattern has; of arrays each member somewhere."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(k in value and fits_pattern(value[k], pattern[k]) for k in pattern)
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits_pattern(one, each) for one in value) for each in pattern)
    return is_fixed(value, pattern)
