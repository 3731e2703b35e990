"""What FHIRPath expressions mean, by the chapters of its specification. https://hl7.org/fhirpath/N1/"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import FhirPathError, Item
from tests.unit.r4.fhirpath_examples import BIRTH_TIME, OBSERVATION, PATIENT, QUESTIONNAIRE

_RESOURCES = {each["resourceType"]: each for each in (PATIENT, OBSERVATION, QUESTIONNAIRE)}


def values(expression: str) -> list[Any]:
    """Evaluate on the resource that the expression names first, a Patient where it names none."""
    start = next((name for name in _RESOURCES if expression.lstrip("(").startswith(name)), "Patient")
    return [item.value for item in fhirpath.compile(expression).items(_RESOURCES[start], start)]


def check(expression: str, *expected: Any) -> None:
    """Assert the values, their Python types included: true is not 1."""
    result = values(expression)
    assert result == list(expected)
    assert [type(each) for each in result if isinstance(each, bool)] == [
        bool for each in expected if each in (True, False) and isinstance(each, bool)
    ]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("name.given", ["Ada", "Rose", "Addie", "Ada", "Rose"]),
        ("Patient.name.family", ["Okafor", "Lind"]),
        ("`Patient`.name.`family`", ["Okafor", "Lind"]),
        ("Encounter.status", []),
        ("DomainResource.id", ["p"]),
        ("Patient.name.period.end", ["2004"]),
        ("Patient.unknown", []),
        ("Observation.value.unit", ["kilo"]),
        ("Observation.valueQuantity", []),
        ("Observation.component.value.text", ["y"]),
        ("Patient.contained.name", ["Clinic"]),
        ("Patient.birthDate.value", ["1980-05-17"]),
        ("Patient.language.id", ["l"]),
        ("Patient.name.given.id", ["g"]),
        ("Patient.name[1].given[0]", ["Addie"]),
        ("Patient.name[7]", []),
        ("Questionnaire.item.item.item.linkId", ["2.1.1"]),
    ],
)
def test_paths(expression: str, expected: list[Any]) -> None:
    """A path follows elements by name, a choice by its bare name, and flattens what it meets."""
    assert values(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Patient.birthDate", "date"),
        ("Patient.contact", "Patient.contact"),
        ("Patient.contained", "Organization"),
        ("Observation.value", "Quantity"),
        ("Observation.subject.reference", "string"),
        ("Questionnaire.item.item", "Questionnaire.item"),
        ("Patient.name.exists()", "boolean"),
        ("Patient.name.count()", "integer"),
        ("Patient.birthDate.value", "date"),
    ],
)
def test_items_carry_their_fhir_type(expression: str, expected: str) -> None:
    """Each item says its FHIR type: of a choice the one present, of a backbone its path, of a resource its own."""
    start = expression.split(".", maxsplit=1)[0]
    assert fhirpath.compile(expression).items(_RESOURCES[start], start)[0].type == expected


def test_a_primitive_without_a_value_is_an_item_with_extensions() -> None:
    """An element that has only a `_name` sibling exists, has no value, and equals nothing."""
    (item,) = fhirpath.compile("Patient.language").items(PATIENT, "Patient")
    assert item == Item("code", None, {"id": "l"})
    check("Patient.language.exists()", True)
    check("Patient.language.hasValue()", False)
    check("Patient.language = 'en'")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true and true", True),
        ("true and false", False),
        ("false and {}", False),
        ("{} and false", False),
        ("true and {}", None),
        ("{} and {}", None),
        ("true or {}", True),
        ("{} or true", True),
        ("false or {}", None),
        ("{} or {}", None),
        ("false or false", False),
        ("true xor false", True),
        ("true xor true", False),
        ("true xor {}", None),
        ("false implies {}", True),
        ("{} implies true", True),
        ("true implies {}", None),
        ("{} implies false", None),
        ("true implies false", False),
        ("{}.not()", None),
        ("true.not()", False),
        ("'one item' and true", True),
        ("(0).not()", False),
    ],
)
def test_logic_has_three_values(expression: str, expected: bool | None) -> None:
    """Boolean operators treat the empty collection as unknown, and a single item that is no Boolean as true."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 = 1", True),
        ("1 = 1.0", True),
        ("1.10 = 1.1", True),
        ("'a' = 'A'", False),
        ("'1' = 1", False),
        ("true = 1", False),
        ("{} = {}", None),
        ("1 = {}", None),
        ("(1 | 2) = (1 | 2)", True),
        ("(1 | 2) = (2 | 1)", False),
        ("(1 | 2) = 1", False),
        ("name = name", True),
        ("name[0] = name[1]", False),
        ("gender = 'female'", True),
        ("birthDate = '1980-05-17'", False),
        ("birthDate = @1980-05-17", True),
        ("birthDate = @1980-05", None),
        ("birthDate = @1980-06", False),
        ("birthDate != @1980-05-17T12:00:00Z", None),
        ("birthDate != @T12:00", True),
        ("@2012-04-15T15:00:00+02:00 = @2012-04-15T16:00:00+03:00", True),
        ("@2012-04-15T15:00:00Z = @2012-04-15T10:00:00", None),
        ("@2012-04-15T15:30:31 = @2012-04-15T15:30:31.0", True),
        ("Observation.value = 84500 'g'", True),
        ("Observation.value = 84.5 'kg'", True),
        ("Observation.value != 84 'kg'", True),
        ("Observation.value = 84.5 'cm'", None),
        ("7 days = 1 week", True),
        ("7 days = 1 'wk'", True),
        ("1 year = 12 months", True),
        ("1 year = 1 'a'", None),
        ("1 'min' = 60 's'", True),
    ],
)
def test_equality(expression: str, expected: bool | None) -> None:
    """Equality looks at type, order and value; where precision or units leave it open, it is empty."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'Ada  Rose' ~ 'ada rose'", True),
        ("'a' ~ 'b'", False),
        ("{} ~ {}", True),
        ("1 ~ {}", False),
        ("1.2 / 1.8 ~ 0.67", True),
        ("1.1 ~ 1.2", False),
        ("(1 | 2 | 3) ~ (3 | 2 | 1)", True),
        ("(1 | 2) ~ (1 | 3)", False),
        ("@2012-04-15 ~ @2012-04-15T10:00:00", False),
        ("4 'g' ~ 4040 'mg'", True),
        ("4 'g' ~ 4600 'mg'", False),
        ("4 'g' ~ 4 's'", False),
        ("1 year ~ 1 'a'", True),
        ("name[0] ~ name[0]", True),
        ("name[0] !~ name[1]", True),
    ],
)
def test_equivalence(expression: str, expected: bool) -> None:
    """Equivalence ignores case, white space, order and excess precision, and is never empty."""
    check(expression, expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 < 1.5", True),
        ("'A' < 'a'", True),
        ("2 <= 2", True),
        ("{} < 1", None),
        ("@2018-03 < @2018-03-01", None),
        ("@2018-03 < @2018-04-01", True),
        ("@T10:30 < @T10:30:00", None),
        ("@2018-03-01T10:30:00 >= @2018-03-01T10:30:00.0", True),
        ("@2017-11-05T01:30:00-04:00 < @2017-11-05T01:15:00-05:00", True),
        ("today() > birthDate", True),
        ("now() > birthDate", True),
        ("Observation.value < 85 'kg'", True),
        ("Observation.value > 85000 'g'", False),
        ("Observation.value > 1 'm'", None),
    ],
)
def test_order(expression: str, expected: bool | None) -> None:
    """Numbers, strings, dates and quantities have an order, which is empty where precision or units leave it open."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 1", 2),
        ("1.2 + 1.8", Decimal("3.0")),
        ("'a' + 'b'", "ab"),
        ("'a' & {} & 'b'", "ab"),
        ("7 - 2.5", Decimal("4.5")),
        ("3 * 1.5", Decimal("4.5")),
        ("1 / 2", Decimal("0.5")),
        ("7 div 2", 3),
        ("-7 div 2", -3),
        ("7 mod 2", 1),
        ("2.2 mod 1.8", Decimal("0.4")),
        ("1 / 0", None),
        ("1 div 0", None),
        ("1 + {}", None),
        ("-(3)", -3),
        ("-name.count()", -3),
        ("(-1.1).ceiling()", -1),
        ("(-2.1).floor()", -3),
        ("(-1.56).truncate()", -1),
        ("(-5.5).abs()", Decimal("5.5")),
        ("3.14159.round(3)", Decimal("3.142")),
        ("81.sqrt()", Decimal(9)),
        ("(-1).sqrt()", None),
        ("2.power(3)", 8),
        ("(-1).power(0.5)", None),
        ("0.exp()", Decimal(1)),
        ("1.ln()", Decimal(0)),
        ("16.log(2)", Decimal(4)),
    ],
)
def test_arithmetic(expression: str, expected: Any) -> None:
    """Arithmetic is exact on decimals, whole on integers, and empty where there is no result."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@1973-12-25 + 7 days", "1974-01-01"),
        ("@1973-12-25 + 7.7 days", "1974-01-01"),
        ("@1973-12-31 + 2 months", "1974-02-28"),
        ("@2020-02-29 + 1 year", "2021-02-28"),
        ("@1974-01-25 - 1 month", "1973-12-25"),
        ("@2014 + 24 months", "2016"),
        ("@2014-03 - 40 days", "2014-02"),
        ("@1973-12-25 + 1 'wk'", "1974-01-01"),
        ("@1973-12-25T00:00:00.000+10:00 + 10 milliseconds", "1973-12-25T00:00:00.010+10:00"),
        ("@1973-12-25T23:59:59Z + 1 second", "1973-12-26T00:00:00Z"),
        ("@1973-12-25T00:00:00.000-05:30 - 1 minute", "1973-12-24T23:59:00.000-05:30"),
        ("@T23:30 + 90 minutes", "01:00"),
        ("@T00:30 - 1 hour", "23:30"),
    ],
)
def test_date_arithmetic(expression: str, expected: str) -> None:
    """A duration moves a date or time along the calendar and keeps its precision and offset."""
    check(expression, expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("telecom.where(system = 'email').value", ["a@example.org"]),
        ("telecom.where(rank > 1).rank", [2]),
        ("name.where($this.use = 'usual').given", ["Addie"]),
        ("name.given.where(substring($this.length() - 2) = 'se')", ["Rose", "Rose"]),
        ("name.select(given.count())", [2, 1, 2]),
        ("telecom.select(iif(rank = 2, $index, {}))", [2]),
        ("name.where($index = 1).given", ["Addie"]),
        ("name.select(given.where($index = 0))", ["Ada", "Addie", "Ada"]),
        ("name.select(iif(given.where($index = 5).empty(), $index, 0))", [0, 1, 2]),
        ("Questionnaire.repeat(item).linkId", ["1", "2", "1.1", "2.1", "2.1.1"]),
        ("Patient.name.repeat('x')", ["x"]),
        ("name.use | name.given", ["official", "usual", "maiden", "Ada", "Rose", "Addie"]),
        ("(1 | 1.0 | 2)", [1, 2]),
        ("name.given.distinct()", ["Ada", "Rose", "Addie"]),
        ("name.given.combine(name.family).count()", [7]),
        ("name.use.exclude('usual')", ["official", "maiden"]),
        ("name.given.intersect('Ada' | 'Zoe')", ["Ada"]),
        ("name.use.first()", ["official"]),
        ("name.use.last()", ["maiden"]),
        ("name.use.tail()", ["usual", "maiden"]),
        ("name.use.skip(1).take(1)", ["usual"]),
        ("name.use.skip(-1).count()", [3]),
        ("(1|2|3|4).aggregate($this + $total, 2)", [12]),
        ("(3|1|2).aggregate(iif($total.empty() or $this < $total, $this, $total))", [1]),
        ("iif(true, 'yes', 1 + 'no')", ["yes"]),
        ("iif(false, 'yes')", []),
        ("{}.iif(empty(), 'none', 'some')", ["none"]),
        ("name.trace('n', given).count()", [3]),
        ("contact.name.family.union(name.family)", ["Okafor", "Lind"]),
    ],
)
def test_collections(expression: str, expected: list[Any]) -> None:
    """Filters, projections and set functions give these items in this order."""
    check(expression, *expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("name.exists()", True),
        ("photo.exists()", False),
        ("name.exists(use = 'usual')", True),
        ("name.exists(use = 'old')", False),
        ("photo.empty()", True),
        ("name.all(given.exists())", True),
        ("name.all(family.exists())", False),
        ("photo.all(false)", True),
        ("name.all(family.exists() and {})", False),
        ("name.select(given.exists()).allTrue()", True),
        ("name.select(family.exists()).anyFalse()", True),
        ("name.select(family.exists()).allFalse()", False),
        ("photo.select(true).anyTrue()", False),
        ("name.use.isDistinct()", True),
        ("name.given.isDistinct()", False),
        ("name.first().subsetOf(name)", True),
        ("name.subsetOf(name.first())", False),
        ("name.supersetOf(name.first())", True),
        ("'Ada' in name.given", True),
        ("'Bo' in name.given", False),
        ("name.given contains 'Ada'", True),
        ("birthDate.hasValue()", True),
        ("name.hasValue()", False),
    ],
)
def test_existence(expression: str, expected: bool) -> None:
    """Questions about a whole collection answer true or false, whatever it holds."""
    check(expression, expected)


@pytest.mark.parametrize("expression", ["{} in name.given", "name.given contains {}", "{}.hasExtension('x') and {}"])
def test_questions_without_a_subject_are_empty_or_false(expression: str) -> None:
    """What is asked of nothing is never true."""
    assert values(expression) in ([], [False])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'LogicalModel'.indexOf('M')", 7),
        ("'abc'.indexOf('z')", -1),
        ("'abcabc'.lastIndexOf('b')", 4),
        ("'12345'.substring(2)", "345"),
        ("'12345'.substring(2, 1)", "3"),
        ("'12345'.substring(9)", None),
        ("'12345'.substring(-1)", None),
        ("'abc'.startsWith('ab')", True),
        ("'abc'.endsWith('bc')", True),
        ("'abc'.contains('b')", True),
        ("{}.startsWith('a')", None),
        ("'aBc'.upper()", "ABC"),
        ("'aBc'.lower()", "abc"),
        ("'abc'.replace('', 'x')", "xaxbxcx"),
        ("'abcb'.replace('b', '')", "ac"),
        ("'abc'.replaceMatches('', 'x')", "abc"),
        ("'ab12'.replaceMatches('([a-z]+)([0-9]+)', '$2-$1')", "12-ab"),
        (r"'a.b'.replaceMatches('\\..*', '')", "a"),
        ("'FHIR'.matches('fhir')", False),
        ("'http://x/Library/a'.matches('Library')", True),
        ("'http://x/Library/a'.matchesFull('Library')", False),
        (r"'A\nB'.matches('A.*B')", True),
        ("'abc'.length()", 3),
        ("''.length()", 0),
        ("' a '.trim()", "a"),
        ("name.use.join(',')", "official,usual,maiden"),
        ("'a,,c'.split(',').count()", 3),
        ("'t2'.toChars().count()", 2),
    ],
)
def test_strings(expression: str, expected: Any) -> None:
    """String functions count from zero, take regular expressions unanchored, and are empty on nothing."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'1'.toInteger()", 1),
        ("'1.0'.toInteger()", None),
        ("'x'.toInteger()", None),
        ("true.toInteger()", 1),
        ("'1.10'.toDecimal()", Decimal("1.10")),
        ("1.toDecimal() is Decimal", True),
        ("1.0.toString()", "1.0"),
        ("true.toString()", "true"),
        ("@2014-12-14.toString()", "2014-12-14"),
        ("1 week.toString()", "1 week"),
        ("1 'wk'.toString()", "1 'wk'"),
        ("Observation.value.toString()", "84.50 'kg'"),
        ("'Y'.toBoolean()", True),
        ("0.toBoolean()", False),
        ("2.toBoolean()", None),
        ("'2015-02'.toDate()", "2015-02"),
        ("'2015-02-04T14:34'.toDateTime().toDate()", "2015-02-04"),
        ("'2015-02-30'.toDate()", None),
        ("'14:34'.toTime()", "14:34"),
        ("'1 day'.toQuantity() = 1 'd'", True),
        ("1.toQuantity() = 1 '1'", True),
        ("'1 wk'.convertsToQuantity()", False),
        (r"'1 \'wk\''.convertsToQuantity()", True),
        ("'1.a'.convertsToDecimal()", False),
        ("'2015-02-04T14'.convertsToDateTime()", True),
        ("'14:34:28.123'.convertsToTime()", True),
        ("name.convertsToString().exists()", "error"),
        ("{}.convertsToInteger()", None),
    ],
)
def test_conversions(expression: str, expected: Any) -> None:
    """toX() converts or is empty, convertsToX() says whether it would, and several items are an error."""
    if expected == "error":
        with pytest.raises(FhirPathError):
            values(expression)
    else:
        check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Observation.value is Quantity", True),
        ("Observation.value.is(FHIR.Quantity)", True),
        ("Observation.value is Period", False),
        ("Observation.extension('http://example.org/age').value is Quantity", True),
        ("Observation.extension('http://example.org/age').value is Duration", False),
        ("Patient is DomainResource", True),
        ("Patient.gender is code", True),
        ("Patient.gender is string", True),
        ("Patient.gender is id", False),
        ("Patient.active is boolean", True),
        ("Patient.active is System.Boolean", False),
        ("Patient.active is Boolean", True),
        ("Patient.active.exists() is System.Boolean", True),
        ("1 is Integer", True),
        ("1 is Decimal", False),
        ("@2015 is Date", True),
        ("@2015T is DateTime", True),
        ("10 'mg' is System.Quantity", True),
        ("Patient.is(FHIR.`Patient`)", True),
        ("{} is Patient", None),
    ],
)
def test_is(expression: str, expected: bool | None) -> None:
    """`is` knows FHIR's types and what they specialise, and System's; unqualified System names take FHIR's too."""
    check(expression, *([] if expected is None else [expected]))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Observation.value.as(Quantity).unit", ["kilo"]),
        ("(Observation.value as Period).start", []),
        ("(Observation.component.value as string)", ["x"]),
        ("Observation.component.value.ofType(CodeableConcept).text", ["y"]),
        ("Observation.extension.value.as(Quantity).value", [3]),
        ("Patient.gender.as(string)", []),
        ("Patient.gender.ofType(code)", ["female"]),
        ("Patient.contained.ofType(Organization).name", ["Clinic"]),
        ("Patient.contained.as(DomainResource).name", ["Clinic"]),
        (
            "Patient.descendants().as(dateTime)",
            ["2004", "1980-05-17T06:30:00+02:00"],
        ),
    ],
)
def test_as_filters_a_collection_of_any_size(expression: str, expected: list[Any]) -> None:
    """`as` and `ofType` keep the items of a type; a primitive must be of that very type."""
    assert sorted(values(expression), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"Patient.birthDate.extension('{BIRTH_TIME}').value", ["1980-05-17T06:30:00+02:00"]),
        ("Patient.birthDate.extension(%`ext-patient-birthTime`).exists()", [True]),
        ("Patient.birthDate.extension('x').exists()", [False]),
        (f"Patient.birthDate.hasExtension('{BIRTH_TIME}')", [True]),
        ("Patient.managingOrganization.resolve().name", ["Clinic"]),
        ("Patient.generalPractitioner.resolve()", []),
        ("Patient.name.first().children().count()", [4]),
        ("Patient.contact.children().family", ["Okafor"]),
        ("Questionnaire.descendants().linkId.count()", [5]),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", [True]),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Person')", [False]),
        ("Patient.active.type().namespace", ["FHIR"]),
        ("1.type().name", ["Integer"]),
        ("%ucum", ["http://unitsofmeasure.org"]),
        ("%sct", ["http://snomed.info/sct"]),
        ('%"vs-administrative-gender"', ["http://hl7.org/fhir/ValueSet/administrative-gender"]),
        ("Patient.contact.select(%resource.id)", ["p"]),
        ("Patient.contact.select(%context.id)", ["p"]),
        ("Patient.contact.select(%rootResource.id)", ["p"]),
        ("Patient.birthDate.getValue() = @1980-05-17", [True]),
        ("today().toString().length()", [10]),
        ("timeOfDay() is Time", [True]),
    ],
)
def test_what_fhir_adds(expression: str, expected: list[Any]) -> None:
    """Extensions, contained references, the tree and the environment are at hand as FHIR says."""
    assert values(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "name.single()",
        "-1.convertsToInteger()",
        "(1 | 2).not()",
        "name and true",
        "name is HumanName",
        "name.given > 'a'",
        "1 < 'a'",
        "birthDate < 1",
        "'a' - 'b'",
        "(1 | 2) & 'b'",
        "@1974-12-25 + 7",
        "@1974-12-25 + 1 'cm'",
        "@1974-12-25 + 1 'mo'",
        "@9999-12-31 + 1 day",
        "'a'.matches('(')",
        "(true | 'x').allTrue()",
        "managingOrganization.startsWith('x')",
        "('a' | 'b').iif(true, 1, 2)",
        "conformsTo('http://example.org/x')",
        "10.power(999999999)",
        "1000000000.exp()",
        "'a'.replaceMatches('a', '$7')",
        "1.round(-1)",
        "(10.power(200)).truncate()",
        "@2020 + 99999999999999999999 years",
    ],
)
def test_what_cannot_be_evaluated_is_an_error(expression: str) -> None:
    """Several items for one, operands of the wrong type and results out of range are a FhirPathError."""
    with pytest.raises(FhirPathError):
        values(expression)


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("name.frobnicate()", "not supported"),
        ("code.memberOf('x')", "not supported"),
        ("name.where()", "arguments"),
        ("name.count(1)", "arguments"),
        ("name is Nonsense", "not a type"),
        ("name.ofType(System.Patient)", "not a type"),
        ("name.as('x')", "name of a type"),
        ("%nonsense", "does not exist"),
    ],
)
def test_what_does_not_exist_is_refused_when_compiled(expression: str, fault: str) -> None:
    """An unknown function, number of arguments, type or constant is a ValueError before any evaluation."""
    with pytest.raises(ValueError, match=fault):
        fhirpath.compile(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "descendants().where(%resource.descendants().where(%resource.descendants().exists(false)).exists()).exists()",
        "1.repeat($this + 1)",
        "'aaaaaaaaaa'" + ".replace('a', 'aaaaaaaaaa')" * 8,
        "name" + ".select($this.combine($this))" * 14,
        "name.given.toChars().combine(name.given.toChars()).aggregate($total & $total & 'x')",
    ],
)
def test_an_expression_that_never_ends_is_cut_off(expression: str) -> None:
    """Work without bound is an error within the budget, and no string grows without bound."""
    with pytest.raises(FhirPathError):
        fhirpath.compile(expression).items(PATIENT, "Patient", budget=20_000)


def test_an_element_can_be_the_focus() -> None:
    """An expression is evaluated on any value of a named type, with the resource around it at hand."""
    name = PATIENT["name"][0]
    result = fhirpath.compile("given.first() & %resource.id").items(name, "HumanName", resource=PATIENT)
    assert result == [Item("string", "Adap")]


def test_a_primitive_can_be_the_focus() -> None:
    """The rules on an element's own value see it as `$this`, and as the target of bare functions."""
    assert fhirpath.compile("$this = '*' or toInteger() >= 0").holds("3", "string")
    assert not fhirpath.compile("$this = '*' or toInteger() >= 0").holds("-3", "string")


@pytest.mark.parametrize(
    ("expression", "holds"),
    [("active", True), ("active.not()", False), ("photo", True), ("name.first()", True), ("{}", True)],
)
def test_an_invariant_is_broken_only_by_false(expression: str, holds: bool) -> None:
    """Only false breaks an invariant: an empty result does not."""
    assert fhirpath.compile(expression).holds(PATIENT, "Patient") is holds


def test_evaluation_leaves_its_input_as_it_was() -> None:
    """No function changes the resource, nor the collections that other evaluations share."""
    before = repr(PATIENT)
    for expression in ("(name | contact).distinct()", "name.given.combine(name.family)", "name.repeat(given)"):
        first = values(expression)
        assert values(expression) == first
    assert repr(PATIENT) == before


def test_an_element_named_like_the_type_of_a_resource_makes_no_resource() -> None:
    """`ExampleScenario.instance` has an element `resourceType`, and stays a backbone with it."""
    instance = {"resourceId": "i", "resourceType": "Patient", "name": "n"}
    scenario = {"resourceType": "ExampleScenario", "instance": [instance]}
    result = fhirpath.compile("resourceType").items(instance, "ExampleScenario.instance", resource=scenario)
    assert result == [Item("code", "Patient")]
    assert fhirpath.compile("%resource.instance.name").items(instance, "ExampleScenario.instance", resource=scenario)


def test_a_decimal_beyond_all_measure_costs_nothing() -> None:
    """A decimal such as 1E+999999999 is refused or written as it is, never written out."""
    quantity = {"value": Decimal("1E+999999")}
    assert fhirpath.compile("value.toString()").items(quantity, "Quantity") == [Item("string", "1E+999999")]
    for expression in ("value.truncate()", "value div 1", "@2020 + value.toQuantity()", "value * value", "value.exp()"):
        with pytest.raises(FhirPathError):
            fhirpath.compile(expression).items(quantity, "Quantity")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1.587.lowBoundary()", [Decimal("1.58650000")]),
        ("1.587.lowBoundary(2)", [Decimal("1.58")]),
        ("1.587.highBoundary(2)", [Decimal("1.59")]),
        ("(-1.587).lowBoundary(0)", [Decimal(-2)]),
        ("(-0.0034).highBoundary(1)", [Decimal("0.0")]),
        ("120.lowBoundary(2)", [Decimal("119.50")]),
        ("1.lowBoundary(32)", []),
        ("1.lowBoundary(-1)", []),
        ("@1970-06.lowBoundary()", ["1970-06-01"]),
        ("@2012-02.highBoundary()", ["2012-02-29"]),
        ("@2014.lowBoundary(6)", ["2014-01"]),
        ("@2014.lowBoundary(7)", []),
        ("@2010-10-10T.lowBoundary()", ["2010-10-10T00:00:00.000+14:00"]),
        ("@2010-10-10T.highBoundary()", ["2010-10-10T23:59:59.999-12:00"]),
        ("@2014-01-01T08:05:12.1+02:00.highBoundary()", ["2014-01-01T08:05:12.199+02:00"]),
        ("@T12:34.lowBoundary()", ["12:34:00.000"]),
        ("@T12:34.highBoundary()", ["12:34:59.999"]),
        ("{}.lowBoundary()", []),
        ("'a'.lowBoundary()", []),
        ("1.58700.precision()", [5]),
        ("@2014-01.precision()", [6]),
        ("@T10:30:00.000.precision()", [9]),
    ],
)
def test_boundaries(expression: str, expected: list[Any]) -> None:
    """The least and the greatest value that a value of its precision may stand for."""
    assert values(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "2 'cm' * 3 'cm' = 6 'cm2'",
        "2.0 'cm' * 2.0 'm' = 0.040 'm2'",
        "4.0 'g' / 2.0 'm' = 2 'g/m'",
        "2 'cm' * 3 = 6 'cm'",
        "3 * 2 'cm' = 6 'cm'",
        "6 'cm' / 3 = 2 'cm'",
        "6 'cm' / 3 'cm' = 2 '1'",
        "6 / 3 's' = 2 '/s'",
        "(1 'kg' / 0 'g').empty()",
        "(37 'Cel' * 2 'Cel').empty()",
        "1 'kg' + 1 'g' = 1001 'g'",
        "37 'Cel' + 1 'Cel' = 38 'Cel'",
        "98.6 '[degF]' = 37 'Cel'",
        "1 '[lb_av]' > 400 'g'",
        "1 'h' + 30 'min' = 90 'min'",
    ],
)
def test_quantities_are_calculated_by_ucum(expression: str) -> None:
    """Units are multiplied, divided and converted; a unit that moves the zero is no factor."""
    check(expression, True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("(3 | 1 | 2).sort()", [1, 2, 3]),
        ("(3 | 1 | 2).sort(-$this)", [3, 2, 1]),
        ("('a' | 'c' | 'b').sort($this desc)", ["c", "b", "a"]),
        ("name.sort(family desc, given.first() asc).given.first()", ["Ada"]),
        ("name.sort(family).use", ["usual", "maiden", "official"]),
        ("{}.sort()", []),
    ],
)
def test_sort(expression: str, expected: list[Any]) -> None:
    """By the items themselves or by keys, each rising or falling; what has no key comes first."""
    assert values(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'a>'.encode('base64')", ["YT4="]),
        ("'YT4='.decode('base64')", ["a>"]),
        ("'a'.encode('hex')", ["61"]),
        ("'61'.decode('hex')", ["a"]),
        ("'a<b'.escape('html')", ["a&lt;b"]),
        ("'a&lt;b'.unescape('html')", ["a<b"]),
        ("'a\\tb'.escape('json')", ["a\\tb"]),
        ("{}.encode('hex')", []),
    ],
)
def test_encodings(expression: str, expected: list[Any]) -> None:
    """Strings in hex, base64, HTML and JSON, and back."""
    assert values(expression) == expected


@pytest.mark.parametrize("expression", ["'zz'.decode('hex')", "'a'.encode('rot13')", "'\\\\ud800'.unescape('json')"])
def test_what_is_no_encoding_is_refused(expression: str) -> None:
    """Also where half a character would come out."""
    with pytest.raises(FhirPathError):
        values(expression)
