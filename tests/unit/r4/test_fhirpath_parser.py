"""The grammar of FHIRPath: precedence, literals, and what is no expression."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath.items import FhirPathError
from fhir_server.r4.fhirpath.parser import parse
from fhir_server.r4.fhirpath.syntax import (
    Call,
    Constant,
    Indexer,
    Literal,
    Member,
    Node,
    Operation,
    Polarity,
    TypeOperation,
    Variable,
)


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("a or b and c", "a or (b and c)"),
        ("a implies b or c", "a implies (b or c)"),
        ("a implies b implies c", "(a implies b) implies c"),
        ("a = b and c != d", "(a = b) and (c != d)"),
        ("a | b = c | d", "(a | b) = (c | d)"),
        ("a | b < c", "(a | b) < c"),
        ("a < b = c", "(a < b) = c"),
        ("a in b = c", "a in (b = c)"),
        ("a is Quantity | b", "(a is Quantity) | b"),
        ("a + b is Quantity", "(a + b) is Quantity"),
        ("-a.b()", "-(a.b())"),
        ("-1 + 2", "(-1) + 2"),
        ("a.b[0].c", "((a.b)[0]).c"),
        ("a & b = c", "(a & b) = c"),
        ("a - b - c", "(a - b) - c"),
        ("a xor b or c", "(a xor b) or c"),
    ],
)
def test_operators_bind_as_the_grammar_orders_them(expression: str, same: str) -> None:
    """An expression without parentheses is read as the grammar's order of alternatives says."""
    assert parse(expression) == parse(same)


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("1", Literal("System.Integer", 1)),
        ("1.50", Literal("System.Decimal", Decimal("1.50"))),
        (r"'a\'b\\c\u0041\n'", Literal("System.String", "a'b\\cA\n")),
        ("true", Literal("System.Boolean", True)),
        ("{}", Literal(None)),
        ("@2015", Literal("System.Date", "2015")),
        ("@2015-02T", Literal("System.DateTime", "2015-02")),
        ("@2015-02-04T14:34:28.123+10:00", Literal("System.DateTime", "2015-02-04T14:34:28.123+10:00")),
        ("@T14:34", Literal("System.Time", "14:34")),
        ("4 days", Literal("System.Quantity", {"value": Decimal(4), "unit": "day"})),
    ],
)
def test_literals_are_read_as_their_type(expression: str, literal: Literal) -> None:
    """A literal has the System type of its spelling, and its value without quotes, escapes and marks."""
    assert parse(expression) == literal


def test_a_quantity_literal_is_in_ucum() -> None:
    """The quoted unit of a quantity literal is a UCUM code."""
    node = parse("10.1 'mg'")
    assert isinstance(node, Literal)
    assert node.value == {
        "value": Decimal("10.1"),
        "unit": "mg",
        "system": "http://unitsofmeasure.org",
        "code": "mg",
    }


@pytest.mark.parametrize("comment", ["/* between */", "// to the end\n", "/* inline $@%^+ * */"])
def test_comments_are_white_space(comment: str) -> None:
    """A comment of either kind may stand wherever white space may."""
    assert parse(f"2 {comment} + 2") == parse("2 + 2")


@pytest.mark.parametrize("name", ["as", "is", "in", "contains", "day", "`div`", '"given"', "_x"])
def test_words_that_are_also_operators_can_name_elements(name: str) -> None:
    """After a dot, words such as `contains` and delimited words are names."""
    assert parse(f"a.{name}") == Member(Member(None, "a"), name.strip('`"'))


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "2 +",
        "a.",
        "a b",
        "a..b",
        "(a",
        "a)",
        "a[",
        "a[]",
        "f(,)",
        "f(a,)",
        "'open",
        "/* open",
        "a is",
        "a as 'x'",
        "{a}",
        "%",
        "$that",
        "a.$this",
        "@2015-13",
        "@2015-02-30",
        "@T25:00",
        "@T14:34:28Z",
        r"'\q'",
        "and",
        "a = = b",
        "a #",
        "`",
        "1..2",
        "\x00",
    ],
)
def test_what_the_grammar_does_not_have_is_refused(expression: str) -> None:
    """Text that is not an expression is a ValueError when it is compiled."""
    with pytest.raises(ValueError, match=r"\w"):
        fhirpath.compile(expression)


@pytest.mark.parametrize(
    "expression", ["(" * 5000 + "a" + ")" * 5000, "a" + ".b" * 50_000, "-" * 50_000 + "1", "a|" * 9999 + "a"]
)
def test_an_expression_nested_too_deeply_is_refused(expression: str) -> None:
    """Depth without bound is a ValueError, not the end of the stack."""
    with pytest.raises(FhirPathError, match=r"too deeply|at most 20000"):
        fhirpath.compile(expression)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="ab.()[]'\"`@%$+-*/&|<>=~!{},0123T:Z \\", max_size=40))
def test_any_text_compiles_or_is_a_value_error(text: str) -> None:
    """No text whatever makes the compiler fail in another way than by ValueError."""
    try:
        fhirpath.compile(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - the refusal is one of two right outcomes


_NAMES = st.sampled_from(["name", "given", "value", "as", "contains", "div"])
_LEAVES = st.one_of(
    st.builds(Member, st.none(), _NAMES.filter(lambda name: name != "div")),
    st.sampled_from(["$this", "$index", "$total"]).map(Variable),
    st.sampled_from(["resource", "vs-a b"]).map(Constant),
    st.integers(0, 99).map(lambda value: Literal("System.Integer", value)),
    st.text(max_size=6).map(lambda value: Literal("System.String", value)),
    st.booleans().map(lambda value: Literal("System.Boolean", value)),
    st.just(Literal(None)),
)


def _deeper(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    operators = ["implies", "or", "and", "in", "contains", "=", "~", "<=", "|", "+", "&", "*", "div", "mod"]
    return st.one_of(
        st.builds(Member, nodes, _NAMES),
        st.builds(Call, st.none() | nodes, _NAMES, st.lists(nodes, max_size=2).map(tuple)),
        st.builds(Indexer, nodes, nodes),
        st.builds(Polarity, st.sampled_from("+-"), nodes),
        st.builds(Operation, st.sampled_from(operators), nodes, nodes),
        st.builds(TypeOperation, st.sampled_from(["is", "as"]), nodes, st.sampled_from(["Quantity", "System.Any"])),
    )


def _written(node: Node) -> str:
    match node:
        case Literal(None, _):
            return "{}"
        case Literal("System.String", str(value)):
            return "'" + "".join(f"\\u{ord(each):04x}" if ord(each) < 0x10000 else each for each in value) + "'"
        case Literal(_, value):
            return str(value).lower()
        case Variable(name):
            return name
        case Constant(name):
            return f"%`{name}`"
        case Member(target, name):
            return (f"({_written(target)})." if target else "") + f"`{name}`"
        case Call(target, name, arguments):
            start = f"({_written(target)})." if target else ""
            return f"{start}`{name}`({', '.join(map(_written, arguments))})"
        case Indexer(target, index):
            return f"({_written(target)})[{_written(index)}]"
        case Polarity(sign, operand):
            return f"{sign}({_written(operand)})"
        case Operation(operator, left, right):
            return f"({_written(left)}) {operator} ({_written(right)})"
        case TypeOperation(operator, operand, name):
            return f"({_written(operand)}) {operator} {name}"
    raise AssertionError(node)


@settings(deadline=None)
@given(st.recursive(_LEAVES, _deeper, max_leaves=12))
def test_a_tree_that_is_written_out_parses_to_itself(tree: Node) -> None:
    """Writing any syntax tree with full parentheses and parsing that gives the same tree."""
    assert parse(_written(tree)) == tree
