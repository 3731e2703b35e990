"""Composite parameters: values that belong together, joined by `$`. https://hl7.org/fhir/R4/search.html#combining

Keys: `code-value-quantity$8480-6␟<120`: the code of the first part, then a key of the second. They narrow a search;
what decides is either the parts' own parameters, where the parts are elements of the resource itself, or a stored
tuple, an index entry of its own for each element that holds the parts, whose parameters are called `a`, `b` and `c`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import SEPARATOR, after_prefix
from fhir_server.search.query.conditions import AnyOf, Condition, HasKey, InTuple, KeySpan, Narrowed, either, every

PART_NAMES = "abcdefgh"
_SEARCHED = "<>~^="

Writer = Callable[[str, list[Item], Entry], None]


def index(name: str, parts: Sequence[list[Item]], entry: Entry, writers: Sequence[Writer], *, tuples: bool) -> None:
    """Write the keys of one element's parts, and the tuple of them unless the parts' own parameters decide."""
    own = Entry(entry.resource, entry.timezone, entry.base_url)
    for part, items, write in zip(PART_NAMES, parts, writers, strict=False):
        write(part, items, own)
    entry.keys.extend(_narrowing(name, own.keys))
    if tuples:
        stored = {"keys": own.keys, "ranges": own.ranges} if own.ranges else {"keys": own.keys}
        entry.ranges.setdefault(name, []).append(stored)


def _narrowing(name: str, keys: list[str]) -> set[str]:
    firsts = {key[2:].casefold() for key in keys if key.startswith("a=")} or {""}
    seconds = {key[1:].casefold() for key in keys if key[0] == "b" and key[1] in _SEARCHED}
    # A second part of which nothing can be searched so is found by the first part alone.
    return {f"{name}${first}{SEPARATOR}{second}" for first in firsts for second in seconds or {""}}


def condition(name: str, parts: Sequence[Condition], *, tuples: bool, own: Condition) -> Condition:
    """Return what a composite value asks.

    `parts` are the conditions of its parts under the names `a`, `b` and `c`; `own` that of the parts' own parameters.
    """
    narrowed = _narrowed(name, parts)
    # A part may look at less than its own parameter does (a Quantity, no SampledData): then there are no keys either.
    return Narrowed(InTuple(name, every(list(parts))) if tuples else every([narrowed, own]), narrowed)


def _narrowed(name: str, parts: Sequence[Condition]) -> Condition:
    codes = _codes(parts[0])
    if not codes:
        return KeySpan(f"{name}$", f"{name}%")
    return either([_second(f"{name}${code}{SEPARATOR}", parts[1]) for code in sorted(codes)])


def _codes(condition: Condition) -> set[str]:
    """Return the codes that a token condition asks for, whatever their system; none for a whole system."""
    if not isinstance(condition, HasKey):
        return set()
    return {_code(key) for key in condition.keys}


def _code(key: str) -> str:
    return (key.rpartition(SEPARATOR)[2] if key[1] == "|" else key[2:]).casefold()


def _second(prefix: str, condition: Condition) -> Condition:
    """Return the condition on narrowing keys that the condition on the second part implies."""
    match condition:
        case HasKey(keys) if all(key[1] in "=^|" for key in keys):
            return HasKey(tuple(dict.fromkeys(f"{prefix}={_code(key)}" for key in keys)))
        case KeySpan(low, high, "") if low[1] in _SEARCHED:
            if high == after_prefix(low):
                return _beginning(prefix + low[1:].casefold())
            return KeySpan(prefix + low[1:].casefold(), prefix + high[1:].casefold())
        case KeySpan(low, high, "") if low[1] == "@" and low.count(SEPARATOR) == 2:
            # An amount in a unit: the same amount is a key without its unit.
            return KeySpan(f"{prefix}<{low.rpartition(SEPARATOR)[2]}", f"{prefix}<{high.rpartition(SEPARATOR)[2]}")
        case AnyOf(conditions) if conditions:
            return either([_second(prefix, each) for each in conditions])
        case Narrowed(_, by):
            return _second(prefix, by)
    return _beginning(prefix)


def _beginning(prefix: str) -> Condition:
    return KeySpan(prefix, after_prefix(prefix))
