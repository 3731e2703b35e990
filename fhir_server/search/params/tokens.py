"""Token parameters: a code, with or without the system it is from. https://hl7.org/fhir/R4/search.html#token

Keys: `code=8480-6` for the code in any system, `code|http://loinc.org␟8480-6` with its system (empty where there is
none), `language^en-us` where the system's codes have no case, or the element is a plain string (then `=` stands in
upper and lower case too, so that only a value in mixed case needs two keys), `code:text=` for the words beside the
code, `identifier:of-type=` for an identifier with its type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.element_paths import SPECIAL_VALUES
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import SEPARATOR, after_prefix, clean
from fhir_server.search.params.strings import sought, text_fact
from fhir_server.search.query.conditions import Condition, HasKey, KeySpan, either

CASELESS_SYSTEMS = frozenset({"http://loinc.org", "urn:ietf:bcp:47", "urn:ietf:bcp:13", "urn:iso:std:iso:3166"})
"""Code systems whose codes mean the same in upper and lower case."""
_NONE: Mapping[str, str] = {}
_CASELESS_CONTACTS = frozenset({"email", "url"})


# --- Index -------------------------------------------------------------------------------------------------------


def index(name: str, items: list[Item], entry: Entry, systems: Mapping[str, str] = _NONE) -> None:
    """Write the keys of a token parameter; `systems` are those of codes that stand without one."""
    keys = entry.keys
    for item in items:
        value = item.value
        if value.__class__ is dict:
            _WRITERS.get(item.type, _coding)(name, value, keys)
        elif value.__class__ is str:
            code = clean(value)
            keys.append(f"{name}={code}")
            keys.append(f"{name}|{systems.get(code, '')}{SEPARATOR}{code}")
            if item.type == "string":
                _caseless(name, code, keys)
        elif value.__class__ is bool:
            keys.append(f"{name}={'true' if value else 'false'}")
        elif value is not None:
            keys.append(f"{name}={value}")


def _concept(name: str, value: dict[str, Any], keys: list[str]) -> None:
    text = value.get("text")
    for coding in value.get("coding") or ():
        if coding:
            _code(name, coding.get("system"), coding.get("code"), keys)
            display = coding.get("display")
            if display is not None and display != text:
                keys.append(f"{name}:text={text_fact(display)}")
    if text is not None:
        keys.append(f"{name}:text={text_fact(text)}")


def _coding(name: str, value: dict[str, Any], keys: list[str]) -> None:
    _code(name, value.get("system"), value.get("code"), keys)
    display = value.get("display")
    if display is not None:
        keys.append(f"{name}:text={text_fact(display)}")


def _identifier(name: str, value: dict[str, Any], keys: list[str]) -> None:
    system, number = value.get("system"), value.get("value")
    _code(name, system, number, keys)
    kind = value.get("type")
    if not kind:
        return
    if "text" in kind:
        keys.append(f"{name}:text={text_fact(kind['text'])}")
    for coding in kind.get("coding") or ():
        if coding and number is not None and "code" in coding:
            keys.append(of_type_key(name, coding.get("system") or "", coding["code"], number))


def _contact(name: str, value: dict[str, Any], keys: list[str]) -> None:
    number, system = value.get("value"), value.get("system")
    if number is None:
        return
    _code(name, system, number, keys)
    if system in _CASELESS_CONTACTS:
        keys.append(f"{name}^{clean(number).casefold()}")


def _code(name: str, system: str | None, code: str | None, keys: list[str]) -> None:
    if code is None:
        if system is not None:
            keys.append(f"{name}|{clean(system)}{SEPARATOR}")
        return
    code = clean(code)
    keys.append(f"{name}={code}")
    if system in CASELESS_SYSTEMS:
        _caseless(name, code, keys)
        code = code.casefold()
    keys.append(f"{name}|{clean(system or '')}{SEPARATOR}{code}")


def _caseless(name: str, code: str, keys: list[str]) -> None:
    lower, upper = code.casefold(), code.upper()
    if lower != upper:
        keys.extend((f"{name}={lower}", f"{name}={upper}", f"{name}^{lower}"))


_WRITERS = {
    "CodeableConcept": _concept,
    "Coding": _coding,
    "Identifier": _identifier,
    "ContactPoint": _contact,
}


def of_type_key(name: str, system: str, code: str, value: str) -> str:
    """Return the key of an identifier's value together with the identifier's type."""
    return f"{name}:of-type={clean(system)}{SEPARATOR}{clean(code)}{SEPARATOR}{clean(value)}"


# --- Search ------------------------------------------------------------------------------------------------------


def condition(name: str, system: str | None, code: str, systems: Mapping[str, str] = _NONE) -> Condition:
    """Return what a token asks: `system` is None where the value has no bar, "" for codes that state no system.

    Codes of elements that cannot state one stand in the index under that in `systems`.
    """
    if system is None:
        return HasKey(plain_keys(name, code))
    if code == "":
        prefix = f"{name}|{clean(system)}{SEPARATOR}"
        return KeySpan(prefix, after_prefix(prefix))
    if system == "" and code in systems:
        return HasKey((system_key(name, "", code), system_key(name, systems[code], code)))
    if system in SPECIAL_VALUES and code in {"true", "false"}:
        return HasKey((*plain_keys(name, code), system_key(name, system, code)))
    return HasKey((system_key(name, system, code),))


def plain_keys(name: str, code: str) -> tuple[str, ...]:
    """Return the keys that a resource with the code in any system has one of."""
    code = clean(code)
    if code in (lower := code.casefold(), code.upper()):
        return (f"{name}={code}",)
    return (f"{name}={code}", f"{name}^{lower}")


def system_key(name: str, system: str, code: str) -> str:
    """Return the key of a code in a system."""
    code = clean(code)
    if system in CASELESS_SYSTEMS:
        code = code.casefold()
    return f"{name}|{clean(system)}{SEPARATOR}{code}"


def text_condition(name: str, text: str) -> Condition:
    """Return the condition of `:text`: a display or a text beside the code begins so."""
    prefix = f"{name}:text={sought(text)}"
    return KeySpan(prefix, after_prefix(prefix))


def in_codes(name: str, codes: Iterable[tuple[str, str]]) -> Condition:
    """Return the condition that a code is one of these (system, code) pairs."""
    return either([HasKey(tuple(system_key(name, system, code) for system, code in codes))])


def in_system(name: str, system: str, left_out: Collection[str]) -> Condition:
    """Return the condition that a code is one of the system, but none of those left out.

    What decides is each code, not the resource: one with a code left out and another that is not meets it.
    """
    whole = condition(name, system, "")
    assert isinstance(whole, KeySpan)
    return replace(whole, but=tuple(sorted({system_key(name, system, code) for code in left_out})))


def of_type_condition(name: str, system: str, code: str, value: str) -> Condition:
    """Return the condition of `:of-type`: an identifier's value, of an identifier type."""
    return HasKey((of_type_key(name, system, code, value),))
