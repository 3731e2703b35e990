"""The type names of FHIR and of FHIRPath's System namespace, and which is a kind of which.

https://hl7.org/fhir/R4/fhirpath.html#types
"""

from __future__ import annotations

from functools import cache, lru_cache

from fhir_server.r4 import definitions
from fhir_server.r4.fhirpath.items import FhirPathError

_SYSTEM_NAMES = ("Any", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity")
_STRINGS = ("string", "uri", "url", "canonical", "uuid", "oid", "code", "id", "markdown", "base64Binary", "xhtml")

SYSTEM_TYPES: dict[str, str] = {
    **{f"System.{name}": name for name in _SYSTEM_NAMES},
    **dict.fromkeys(_STRINGS, "String"),
    **dict.fromkeys(("integer", "positiveInt", "unsignedInt"), "Integer"),
    **dict.fromkeys(("dateTime", "instant"), "DateTime"),
    **dict.fromkeys(("Quantity", "Age", "Count", "Distance", "Duration"), "Quantity"),
    "boolean": "Boolean",
    "decimal": "Decimal",
    "date": "Date",
    "time": "Time",
}
"""For each type that FHIR converts to a System type by itself: the name of that, without the namespace."""

# What FHIR calls a computed value, for those who read results.
FHIR_NAMES = {
    "System.Boolean": "boolean",
    "System.String": "string",
    "System.Integer": "integer",
    "System.Decimal": "decimal",
    "System.Date": "date",
    "System.DateTime": "dateTime",
    "System.Time": "time",
    "System.Quantity": "Quantity",
}
_PROFILES = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}


def specified(name: str) -> str:
    """Return a type specifier in its canonical spelling; raise FhirPathError for a type that R4 does not have."""
    if name.startswith("FHIR."):
        bare = name.removeprefix("FHIR.")
        if is_fhir_type(bare):
            return bare
    elif name.startswith("System."):
        if name.removeprefix("System.") in _SYSTEM_NAMES:
            return name
    elif is_fhir_type(name) or name in _SYSTEM_NAMES:
        return name
    elif name in _PROFILES:
        return _PROFILES[name]
    raise FhirPathError(f"{name} is not a type of FHIR R4.")


@cache
def is_fhir_type(name: str) -> bool:
    """Say whether FHIR R4 has a type of this name; backbones have none of their own."""
    return "." not in name and name in definitions.TABLE_NAMES


@cache
def ancestors(type_name: str) -> tuple[str, ...]:
    """Return a type and what it specialises, the nearest first."""
    names = []
    current: str | None = type_name
    while current is not None:
        names.append(current)
        try:
            current = definitions.table(current).base
        except KeyError:
            break
    return tuple(names)


@lru_cache(maxsize=4096)
def accepts(specifier: str, type_name: str) -> bool:
    """Say whether an item of `type_name` is of the type specified.

    An unqualified System name such as Boolean takes FHIR's boolean as well: invariants of the specification (que-7:
    `answer is Boolean`) mean it so.
    """
    if specifier in ancestors(type_name):
        return True
    if specifier in _SYSTEM_NAMES:
        return SYSTEM_TYPES.get(type_name) == specifier
    return specifier == "System.Any" and type_name.startswith("System.")


def keeps(specifier: str, type_name: str) -> bool:
    """Say whether `as` and `ofType` keep an item of `type_name`.

    A primitive must be of that very type (a code is a string, yet `as(string)` drops it, as the official test suite of
    FHIRPath has it); an Age stays with `as(Quantity)`.
    """
    if type_name in SYSTEM_TYPES and SYSTEM_TYPES[type_name] != "Quantity" and specifier not in _SYSTEM_NAMES:
        return specifier == type_name
    return accepts(specifier, type_name)
