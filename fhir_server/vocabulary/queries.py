"""Filters as conditions on the tables of a code system's file.

A condition is asked in two ways: whether one concept meets it (`test`, with `{no}` for the concept's number), and which
do (`listing`). A set is listed by its narrowest condition, and the others are tested on what that lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from fhir_server.vocabulary.schema import TEXT_BITS
from fhir_server.vocabulary.texts import text_test, words_test
from terminology.content import filters
from terminology.content.provider import Filter

if TYPE_CHECKING:
    from fhir_server.vocabulary.mapped import MappedCodeSystem

_MANY = 1 << 40
_FEW = 3_000
_serial = count()


@dataclass(frozen=True, slots=True)
class Condition:
    """What concepts must meet; `size` is about how many do, `exact` whether it is just that.

    `beside` is the test that suits many concepts, which another condition lists; `test` where it does.
    """

    test: str
    listing: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    exact: bool = False
    beside: str = ""


def everything() -> Condition:
    """Return what every concept meets."""
    return Condition("1", "SELECT no FROM concept ORDER BY no")


def selection_of(conditions: Sequence[Condition]) -> tuple[str, dict[str, Any]]:
    """Return the query of the numbers of the concepts that meet all conditions."""
    parameters: dict[str, Any] = {}
    for each in conditions:
        parameters |= each.parameters
    listed = [each for each in conditions if each.listing is not None]
    lead = min(listed, key=lambda each: _MANY if each.size is None else each.size, default=everything())
    tests = [(each.beside or each.test).format(no="l.no") for each in conditions if each is not lead]
    where = f" WHERE {' AND '.join(f'({each})' for each in tests)}" if tests else ""
    return f"SELECT l.no AS no FROM ({lead.listing}) l{where}", parameters


def parameter(value: Any) -> tuple[str, dict[str, Any]]:
    """Return a name for a value in a query, and the two together."""
    name = f"p{next(_serial)}"
    return f":{name}", {name: value}


def both(left: Condition, right: Condition) -> Condition:
    """Return what meets both."""
    query, parameters = selection_of([left, right])
    return Condition(f"({left.test}) AND ({right.test})", query, parameters)


def either(left: Condition, right: Condition) -> Condition:
    """Return what meets one or the other."""
    one, other = (each.listing or "SELECT no FROM concept" for each in (left, right))
    listing = f"SELECT no FROM ({one}) UNION SELECT no FROM ({other})"
    return Condition(f"({left.test}) OR ({right.test})", listing, left.parameters | right.parameters)


def without(left: Condition, right: Condition) -> Condition:
    """Return what meets the first and not the second."""
    return both(left, negated(right))


def negated(condition: Condition) -> Condition:
    """Return what does not meet a condition."""
    return Condition(f"NOT ({condition.test})", None, condition.parameters)


# --- Codes and hierarchy -----------------------------------------------------------------------------------------


def related(system: MappedCodeSystem, operator: str, code: str) -> Condition:
    """Return what stands to one concept as an operator of a filter, or of an expression constraint, says."""
    number = system.number(code)
    if number is None:
        return Condition("0", "SELECT 0 AS no WHERE 0", {}, 0, exact=True)
    name, parameters = parameter(number)
    below = f"EXISTS (SELECT 1 FROM below WHERE ancestor = {name} AND concept = {{no}})"
    listed = f"SELECT concept AS no FROM below WHERE ancestor = {name}"
    [(size,)] = system.connection.execute("SELECT below FROM concept WHERE no = ?", (number,))
    match operator:
        case "<":
            return Condition(below, listed, parameters, size, exact=True)
        case "<<":
            whole = f"SELECT {name} AS no UNION ALL {listed}"
            return Condition(f"{{no}} = {name} OR {below}", whole, parameters, size + 1, exact=True)
        case "<!":
            return _edges("parent", "child", name, parameters)
        case ">!":
            return _edges("child", "parent", name, parameters)
        case "<<!" | ">>!":
            return either(related(system, operator[1:], code), related(system, "", code))
        case ">" | ">>":
            own = f"{{no}} = {name}" if operator == ">>" else "0"
            above = f"EXISTS (SELECT 1 FROM below WHERE ancestor = {{no}} AND concept = {name})"
            listed = _above(name, "UNION ALL SELECT " + name if operator == ">>" else "")
            return Condition(f"{own} OR {above}", listed, parameters, 50)
    return Condition(f"{{no}} = {name}", f"SELECT {name} AS no", parameters, 1, exact=True)


def _above(name: str, more: str) -> str:
    return (
        f"WITH RECURSIVE above(no) AS (SELECT parent FROM edge WHERE child = {name} "
        f"UNION SELECT e.parent FROM above a JOIN edge e ON e.child = a.no) SELECT no FROM above {more}"
    )


def _edges(here: str, there: str, name: str, parameters: dict[str, Any]) -> Condition:
    test = f"EXISTS (SELECT 1 FROM edge WHERE {here} = {name} AND {there} = {{no}})"
    return Condition(test, f"SELECT {there} AS no FROM edge WHERE {here} = {name}", parameters, 100)


_OPERATORS = {"is-a": "<<", "descendent-of": "<", "child-of": "<!", "generalizes": ">>"}


def of_filter(system: MappedCodeSystem, condition: Filter, *, is_a: bool) -> Condition:
    """Return a filter of a value set as a condition."""
    name, value = condition.property, condition.value
    if name in ("constraint", "expression"):
        from fhir_server.vocabulary.ecl_queries import of_expression

        return of_expression(system, value)
    if name in filters.CODE:
        return _of_code(system, condition, is_a=is_a)
    if name in ("parent", "child") and condition.op == "=":
        return related(system, "<!" if name == "parent" else ">!", value)
    return _of_property(system, condition)


def _of_code(system: MappedCodeSystem, condition: Filter, *, is_a: bool) -> Condition:
    value = condition.value
    match condition.op:
        case "is-a" | "descendent-of" | "generalizes" if not is_a:
            return related(system, "" if condition.op != "descendent-of" else "none", value)
        case "is-a" | "descendent-of" | "child-of" | "generalizes":
            return related(system, _OPERATORS[condition.op], value)
        case "is-not-a":
            return negated(related(system, "<<" if is_a else "", value))
        case "descendent-leaf":
            leaf = Condition("NOT EXISTS (SELECT 1 FROM edge WHERE parent = {no})")
            return both(related(system, "<", value), leaf)
        case "in" if system.connection.execute("SELECT 1 FROM member WHERE refset = ?", (value,)).fetchone():
            return members(value)
        case "=":
            return related(system, "", value)
        case "exists":
            return everything() if value == "true" else negated(everything())
    return _compared(condition, "(SELECT code FROM concept WHERE no = {no})")


def members(refset: str) -> Condition:
    """Return the members of a reference set."""
    name, parameters = parameter(refset)
    test = f"EXISTS (SELECT 1 FROM member WHERE refset = {name} AND concept = {{no}})"
    return Condition(test, f"SELECT concept AS no FROM member WHERE refset = {name}", parameters, 10_000)


def _compared(condition: Filter, value: str) -> Condition:
    """Return the test of a comparison with one value of a concept, or none, that an SQL expression gives."""
    texts = [each.strip() for each in condition.value.split(",")]
    if condition.op == "exists":
        return Condition(f"({value} IS NOT NULL) = {int(condition.value == 'true')}")
    if condition.op == "regex":
        filters.pattern(condition.value)
        name, parameters = parameter(condition.value)
        return Condition(f"COALESCE(matches({name}, {value}), 0)", None, parameters)
    names, parameters = _listed([condition.value] if condition.op == "=" else texts)
    listed = f"COALESCE({value} IN ({names}), 0)"
    return Condition(f"NOT {listed}" if condition.op == "not-in" else listed, None, parameters)


def _listed(values: Sequence[str]) -> tuple[str, dict[str, Any]]:
    named = [parameter(each) for each in values]
    parameters: dict[str, Any] = {}
    for _, one in named:
        parameters |= one
    return ", ".join(name for name, _ in named), parameters


# --- Properties --------------------------------------------------------------------------------------------------


def _of_property(system: MappedCodeSystem, condition: Filter) -> Condition:
    name, op = condition.property, condition.op
    if name == "inactive":
        expected = condition.value == "true"
        return Condition(f"(SELECT inactive FROM concept WHERE no = {{no}}) = {int(expected)}")
    if name == "notSelectable":
        return Condition(f"(SELECT abstract FROM concept WHERE no = {{no}}) = {int(condition.value == 'true')}")
    if name in ("display", "definition", "designation", "status"):
        return _of_text(system, condition)
    row = system.connection.execute("SELECT id FROM name WHERE code = ?", (name,)).fetchone()
    number = -1 if row is None else int(row[0])
    every = f"SELECT 1 FROM fact f WHERE f.concept = {{no}} AND f.name = {number}"
    match op:
        case "exists":
            return Condition(f"EXISTS ({every})" if condition.value == "true" else f"NOT EXISTS ({every})")
        case "regex":
            filters.pattern(condition.value)
            pattern, parameters = parameter(condition.value)
            return Condition(f"EXISTS ({every} AND matches({pattern}, f.value))", None, parameters)
    values = [condition.value] if op == "=" else [each.strip() for each in condition.value.split(",")]
    names, parameters = _listed(values)
    having = f"EXISTS (SELECT 1 FROM fact f WHERE f.name = {number} AND f.value IN ({names}) AND f.concept = {{no}})"
    if op == "not-in":
        return Condition(f"NOT {having}", None, parameters)
    listing = f"SELECT DISTINCT concept AS no FROM fact WHERE name = {number} AND value IN ({names})"
    return Condition(having, listing, parameters, _size(system, listing, parameters))


def _of_text(system: MappedCodeSystem, condition: Filter) -> Condition:
    """Return a comparison of texts, which no index has: each concept is read."""
    function = text_test(system, condition)
    return Condition(f"{function}({{no}})", None)


def _size(system: MappedCodeSystem, listing: str, parameters: dict[str, Any]) -> int:
    limited = f"SELECT count(*) FROM (SELECT 1 FROM ({listing}) LIMIT {_FEW})"
    [(number,)] = system.ask(limited, parameters)
    return int(number)


def of_words(system: MappedCodeSystem, searched: Sequence[str]) -> Condition:
    """Return what has, in one of its texts, a word that begins with each of those wanted."""
    name, parameters = parameter(" AND ".join(f'"{each}"*' for each in searched))
    span = f"text.rowid BETWEEN ({{no}} << {TEXT_BITS}) AND ({{no}} << {TEXT_BITS}) + {(1 << TEXT_BITS) - 1}"
    test = f"EXISTS (SELECT 1 FROM text WHERE text MATCH {name} AND {span})"
    listing = f"SELECT DISTINCT rowid >> {TEXT_BITS} AS no FROM text WHERE text MATCH {name}"
    size = _size(system, listing, parameters)
    if size < _FEW:
        return Condition(test, listing, parameters, size, beside=f"{{no}} IN ({listing})")
    # What nearly every text has is read off the concepts: they come to a page soon.
    return Condition(test, listing, parameters, size, beside=f"{words_test(system, searched)}({{no}})")
