"""Expression constraints of SNOMED CT as conditions on the tables of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.vocabulary.queries import (
    Condition,
    both,
    either,
    everything,
    members,
    parameter,
    related,
    without,
)
from terminology.model.issues import TerminologyError, issue
from terminology.systems import ecl

if TYPE_CHECKING:
    from fhir_server.vocabulary.mapped import MappedCodeSystem

_OPERATORS = {"<": "<", "<<": "<<", ">": ">", ">>": ">>", "<!": "<!", ">!": ">!", "<<!": "<<!", ">>!": ">>!"}


def of_expression(system: MappedCodeSystem, text: str) -> Condition:
    """Return what an expression constraint admits; raises TerminologyError for one that is not understood."""
    return _Compiling(system).expression(ecl.parse(text))


class _Compiling:
    def __init__(self, system: MappedCodeSystem) -> None:
        self._system = system

    def expression(self, tree: ecl.Expression) -> Condition:
        match tree:
            case ecl.Any_():
                return everything()
            case ecl.Named(code):
                return related(self._system, "", code)
            case ecl.Related(operator, ecl.Named(code)):
                return related(self._system, _OPERATORS[operator], code)
            case ecl.Related(operator, of):
                return self._related(operator, self.expression(of))
            case ecl.MembersOf(of):
                return self._members(of)
            case ecl.Combined(operator, left, right):
                join = {"and": both, "or": either, "minus": without}[operator]
                return join(self.expression(left), self.expression(right))
            case ecl.Dotted(of, attribute):
                return self._dotted(self.expression(of), attribute)
            case ecl.Refined(of, by):
                return both(self.expression(of), Condition(self._refinement(by, "{no}", None), None, self._taken()))
        raise AssertionError(tree)

    # --- Sets --------------------------------------------------------------------------------------------------

    def _related(self, operator: str, of: Condition) -> Condition:
        """Return what is above or below any of a set."""
        inner = f"SELECT no FROM ({_listing(of)})"
        down = operator.startswith("<")
        if operator in ("<!", "<<!", ">!", ">>!"):
            table, here, there = ("edge", "parent", "child") if down else ("edge", "child", "parent")
        else:
            table, here, there = ("below", "ancestor", "concept") if down else ("below", "concept", "ancestor")
        listing = f"SELECT DISTINCT {there} AS no FROM {table} WHERE {here} IN ({inner})"
        relatives = Condition(f"{{no}} IN ({listing})", listing, of.parameters)
        return either(relatives, of) if operator in ("<<", ">>", "<<!", ">>!") else relatives

    def _members(self, of: ecl.Expression) -> Condition:
        if isinstance(of, ecl.Named):
            return members(of.id)
        if isinstance(of, ecl.Any_):
            listing = "SELECT DISTINCT concept AS no FROM member"
            return Condition("EXISTS (SELECT 1 FROM member WHERE concept = {no})", listing)
        sets = self.expression(of)
        codes = f"SELECT c.code FROM concept c WHERE c.no IN ({_listing(sets)})"
        listing = f"SELECT DISTINCT concept AS no FROM member WHERE refset IN ({codes})"
        return Condition(f"{{no}} IN ({listing})", listing, sets.parameters)

    def _dotted(self, of: Condition, attribute: ecl.Expression) -> Condition:
        names = self._names(attribute)
        targets = f"SELECT f.value FROM fact f WHERE f.concept IN ({_listing(of)}) AND f.name IN ({names})"
        listing = f"SELECT DISTINCT c.no AS no FROM concept c WHERE c.code IN ({targets})"
        return Condition(f"{{no}} IN ({listing})", listing, of.parameters | self._taken())

    # --- Refinements -------------------------------------------------------------------------------------------

    _parameters: dict[str, object] | None = None

    def _keep(self, parameters: dict[str, object]) -> None:
        self._parameters = {**(self._parameters or {}), **parameters}

    def _taken(self) -> dict[str, object]:
        """Return the parameters of what was compiled since."""
        taken, self._parameters = self._parameters or {}, None
        return taken

    def _refinement(self, tree: ecl.Refinement, no: str, group: str | None) -> str:
        match tree:
            case ecl.Refinements(operator, parts):
                return f" {operator.upper()} ".join(f"({self._refinement(each, no, group)})" for each in parts)
            case ecl.Group(inner, least, most):
                grouped = self._refinement(inner, no, "g.grp")
                groups = f"SELECT DISTINCT grp FROM fact WHERE concept = {no} AND grp > 0"
                rows = f"SELECT 1 FROM ({groups}) g WHERE {grouped}"
                return _how_often(rows, least, most)
            case ecl.Attribute():
                return self._attribute(tree, no, group)
        raise AssertionError(tree)

    def _attribute(self, tree: ecl.Attribute, no: str, group: str | None) -> str:
        names = self._names(tree.name)
        if tree.reverse:
            return self._reversed(tree, no, names)
        of_group = f" AND f.grp = {group}" if group else ""
        value = self._value(tree)
        rows = f"SELECT 1 FROM fact f WHERE f.concept = {no} AND f.name IN ({names}){of_group} AND {value}"
        return _how_often(rows, tree.least, tree.most)

    def _reversed(self, tree: ecl.Attribute, no: str, names: str) -> str:
        if isinstance(tree.value, ecl.Value) or tree.operator != "=":
            raise _unsupported("R with a comparison other than = and a concept")
        sources = self.expression(tree.value)
        self._keep(sources.parameters)
        code = f"(SELECT code FROM concept WHERE no = {no})"
        test = sources.test.format(no="f.concept")
        rows = f"SELECT 1 FROM fact f WHERE f.value = {code} AND f.name IN ({names}) AND ({test})"
        return _how_often(rows, tree.least, tree.most)

    def _names(self, tree: ecl.Expression) -> str:
        """Return the query of the numbers of the attributes that an expression names."""
        if isinstance(tree, ecl.Any_):
            return "SELECT id FROM name"
        if isinstance(tree, ecl.Named):
            name, parameters = parameter(tree.id)
            self._keep(parameters)
            return f"SELECT id FROM name WHERE code = {name}"
        attributes = self.expression(tree)
        self._keep(attributes.parameters)
        test = attributes.test.format(no="a.no")
        return f"SELECT n.id FROM name n JOIN concept a ON a.code = n.code WHERE {test}"

    def _value(self, tree: ecl.Attribute) -> str:
        if isinstance(tree.value, ecl.Value):
            name, parameters = parameter(tree.value.value)
            self._keep(parameters)
            stored = "f.value" if isinstance(tree.value.value, str) else "CAST(f.value AS REAL)"
            return f"{stored} {tree.operator} {name}"
        if isinstance(tree.value, ecl.Any_):
            return "1" if tree.operator == "=" else "0"
        values = self.expression(tree.value)
        self._keep(values.parameters)
        target = "(SELECT no FROM concept WHERE code = f.value)"
        test = values.test.format(no=target)
        return f"({test})" if tree.operator == "=" else f"NOT ({test})"


def _how_often(rows: str, least: int | None, most: int | None) -> str:
    if least is None:
        return f"EXISTS ({rows})"
    if most is None:
        return "1" if least == 0 else f"(SELECT count(*) FROM ({rows})) >= {least}"
    return f"(SELECT count(*) FROM ({rows})) BETWEEN {least} AND {most}"


def _listing(condition: Condition) -> str:
    if condition.listing is not None:
        return condition.listing
    test = condition.test.format(no="x.no")
    return f"SELECT x.no AS no FROM concept x WHERE {test}"


def _unsupported(what: str) -> TerminologyError:
    return TerminologyError(issue("error", "not-supported", "vs-invalid", "INVALID_ECL", what, "it is not supported"))
