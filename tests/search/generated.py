"""Resources and searches for hypothesis: few different values, so that searches meet them, and many forms of each."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

PATIENTS = [f"p{number}" for number in range(4)]
PRACTITIONERS = ["d0", "d1"]

names = st.sampled_from(
    [
        "Müller",
        "muller",
        "Mu",
        "MÜLLERSON",
        "O'Brien",
        "OBrien",
        "van der Berg",
        "Van-der-Berg",
        "Smith",
        "smi,th",
        "ß",
        "Ørsted",
        "李",
    ]
)
words = st.one_of(names, st.text("aAbÄé'- .,$|\\", min_size=1, max_size=6).filter(lambda text: text.strip() != ""))
dates = st.sampled_from(["2020", "2020-01", "2020-02", "2019-12-31", "2020-01-01", "2020-01-15", "2021"])
times = st.sampled_from(
    [
        "2020-01-15T10:30:00Z",
        "2020-01-15T10:30:00.000Z",
        "2020-01-15T10:30:00.5+02:00",
        "2020-01-15T23:30:00-05:00",
        "2020-01-15T00:00:00+01:00",
        "2019-12-31T23:59:59Z",
        "2020-01-16T00:00:00Z",
    ]
)
moments = st.one_of(dates, times)
numbers = st.sampled_from(
    ["0", "1", "99", "99.5", "100", "100.0", "100.04", "100.5", "-5", "-4.5", "0.01", "10", "1000"]
)
units = st.sampled_from(
    [
        {"unit": "kilogram", "system": "http://unitsofmeasure.org", "code": "kg"},
        {"unit": "g", "system": "http://unitsofmeasure.org", "code": "g"},
        {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        {"unit": "°C", "system": "http://unitsofmeasure.org", "code": "Cel"},
        {"unit": "K", "system": "http://unitsofmeasure.org", "code": "K"},
        {"unit": "drops", "system": "http://example.org/units", "code": "gtt"},
        {"unit": "drops"},
        {},
    ]
)
systems = st.sampled_from(["http://a.example", "http://b.example", "http://loinc.org"])
code_values = st.sampled_from(["x", "X", "y", "8480-6", "LA1-b", "la1-B"])


def optional(**fields: Strategy) -> Strategy:
    """Return objects that have some of the fields, at least one."""
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


def listed(strategy: Strategy, most: int = 2) -> Strategy:
    """Return lists that are not empty."""
    return st.lists(strategy, min_size=1, max_size=most)


codings = st.fixed_dictionaries({"code": code_values}, optional={"system": systems, "display": words})
concepts = optional(coding=listed(codings), text=words)
periods = optional(start=moments, end=moments)
extension = {"extension": [{"url": "http://example.org/e", "valueString": "e"}]}


@st.composite
def quantities(draw: st.DrawFn) -> dict[str, Any]:
    """Return a Quantity with some unit, maybe a comparator."""
    comparator = draw(st.sampled_from([{}, {}, {}, {"comparator": "<"}, {"comparator": ">="}]))
    from fhir_server.r4.values import decimal

    return {"value": decimal(draw(numbers)), **comparator, **draw(units)}


identifiers = st.fixed_dictionaries(
    {"value": st.sampled_from(["1", "2", "a|b"])},
    optional={
        "system": systems,
        "type": st.fixed_dictionaries({}, optional={"coding": listed(codings, 1), "text": words}).filter(bool),
    },
)


def references(types: list[tuple[str, list[str]]]) -> Strategy:
    """Return References to some of these resources, to others, and with an identifier only."""
    known = [f"{kind}/{each}" for kind, ids in types for each in ids]
    others = ["Patient/gone", "Group/g1", "http://other.example/Patient/p1", f"{known[0]}/_history/2"]
    literal = st.fixed_dictionaries({"reference": st.sampled_from(known + others)})
    logical = st.fixed_dictionaries({"identifier": identifiers})
    return st.one_of(literal, literal, literal, logical)


patients = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "active": st.booleans(),
        "name": listed(optional(family=words, given=listed(words), text=words)),
        "gender": st.sampled_from(["male", "female", "other"]),
        "birthDate": dates,
        "_birthDate": st.just(extension),
        "address": listed(optional(city=words, country=words)),
        "identifier": listed(identifiers),
        "telecom": listed(st.fixed_dictionaries({"system": st.sampled_from(["phone", "fax"]), "value": code_values})),
        "generalPractitioner": listed(references([("Practitioner", PRACTITIONERS)])),
        "maritalStatus": concepts,
    },
)
practitioners = st.fixed_dictionaries(
    {"resourceType": st.just("Practitioner")},
    optional={"active": st.booleans(), "name": listed(optional(family=words)), "identifier": listed(identifiers)},
)
values = [
    {"valueQuantity": quantities()},
    {"valueCodeableConcept": concepts},
    {"valueString": words},
    {"valueDateTime": moments},
    {"valuePeriod": periods},
    {},
]
components = st.one_of(*(st.fixed_dictionaries({"code": concepts, **value}) for value in values))


@st.composite
def observations(draw: st.DrawFn) -> dict[str, Any]:
    """Return an Observation with one of the types of value, and maybe components."""
    base = st.fixed_dictionaries(
        {"resourceType": st.just("Observation"), "status": st.sampled_from(["final", "amended"]), "code": concepts},
        optional={
            "subject": references([("Patient", PATIENTS), ("Patient", PATIENTS)]),
            "performer": listed(references([("Practitioner", PRACTITIONERS), ("Patient", PATIENTS)])),
            "component": listed(components),
            "category": listed(concepts),
        },
    )
    effective = st.sampled_from([{"effectiveDateTime": moments}, {"effectivePeriod": periods}, {}])
    return {
        **draw(base),
        **draw(st.fixed_dictionaries(draw(effective))),
        **draw(st.fixed_dictionaries(draw(st.sampled_from(values)))),
    }


@st.composite
def risk_assessments(draw: st.DrawFn) -> dict[str, Any]:
    """Return a RiskAssessment with probabilities, which are numbers or ranges."""
    from fhir_server.r4.values import decimal

    amounts = numbers.map(lambda text: {"value": decimal(text)})
    ranges = optional(low=amounts, high=amounts)
    predictions = st.one_of(
        numbers.map(lambda text: {"probabilityDecimal": decimal(text)}),
        ranges.map(lambda found: {"probabilityRange": found}),
    )
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": draw(references([("Patient", PATIENTS)])),
        **draw(st.fixed_dictionaries({}, optional={"prediction": listed(predictions)})),
    }


value_sets = st.fixed_dictionaries(
    {"resourceType": st.just("ValueSet"), "status": st.just("draft")},
    optional={
        "url": st.sampled_from(
            [
                "http://x.example/a",
                "http://x.example/a/b",
                "http://x.example/ab",
                "urn:uuid:1",
                "http://x.example/a/b/c",
            ]
        )
    },
)


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return resources that may refer to one another, with ids."""
    found: list[dict[str, Any]] = []
    for ids, strategy in ((PATIENTS, patients), (PRACTITIONERS, practitioners)):
        found += [{**draw(strategy), "id": each} for each in ids if draw(st.integers(0, 4))]
    for kind, strategy, most in (("o", observations(), 8), ("r", risk_assessments(), 2), ("v", value_sets, 3)):
        made = draw(st.lists(strategy, max_size=most))
        found += [{**each, "id": f"{kind}{number}"} for number, each in enumerate(made)]
    return found


# --- Searches ----------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Return a text as a search value."""
    return "".join(f"\\{letter}" if letter in ",|$\\" else letter for letter in text)


def named(*choices: tuple[str, Strategy]) -> Strategy:
    """Return (name, value) pairs of one of these parameters."""
    return st.one_of(*(strategy.map(lambda value, name=name: (name, value)) for name, strategy in choices))


def either(strategy: Strategy) -> Strategy:
    """Return one value, or two joined by a comma."""
    return st.lists(strategy, min_size=1, max_size=2).map(",".join)


def prefixed(strategy: Strategy) -> Strategy:
    """Return values with one of the prefixes, or none."""
    prefixes = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
    return st.tuples(prefixes, strategy).map("".join)


texts = either(words.map(escaped))
tokens = st.one_of(
    code_values,
    st.tuples(systems, code_values).map("|".join),
    code_values.map(lambda code: f"|{code}"),
    systems.map(lambda system: f"{system}|"),
)
coded = either(tokens)
booleans = st.sampled_from(["true", "false"])
when = prefixed(
    st.one_of(moments, st.sampled_from(["2020-01-15T10:30Z", "2020-01-15T10:30:00", "2020-01-15T00:30+02:00", "2018"]))
)
counted = prefixed(numbers)
query_units = st.sampled_from(
    ["", "|http://unitsofmeasure.org|kg", "|http://unitsofmeasure.org|g", "|http://unitsofmeasure.org|Cel", "||kg", "||drops",
     "|http://example.org/units|gtt", "|http://unitsofmeasure.org|K"]
)  # fmt: skip
measured = st.tuples(counted, query_units).map("".join)
people = either(st.sampled_from([*PATIENTS, *(f"Patient/{each}" for each in PATIENTS), "Patient/gone"]))
numbered = st.one_of(
    st.sampled_from(["1", "2", "a\\|b"]), st.tuples(systems, st.sampled_from(["1", "2"])).map("|".join)
)
of_types = st.tuples(systems, code_values, st.sampled_from(["1", "2"])).map("|".join)

patient_parameters = named(
    ("name", texts), ("family", texts), ("given:exact", texts), ("name:contains", texts), ("address-city", texts),
    ("gender", either(st.sampled_from(["male", "female", "Male"]))), ("gender:not", either(st.sampled_from(["male", "female"]))),
    ("active", booleans), ("identifier", either(numbered)), ("identifier:of-type", of_types), ("identifier:text", words.map(escaped)),
    ("telecom", either(code_values)), ("birthdate", either(when)), ("birthdate:missing", booleans), ("name:missing", booleans),
    ("general-practitioner", st.sampled_from(["d0", "Practitioner/d1", "Patient/p1"])),
    ("general-practitioner:missing", booleans), ("_id", either(st.sampled_from(PATIENTS))),
    ("general-practitioner:identifier", numbered),
    ("general-practitioner:Practitioner.family", texts), ("general-practitioner.active", booleans),
    ("_has:Observation:subject:code", coded), ("_has:Observation:patient:date", when),
    ("_has:Observation:performer:status", st.just("final")),
)  # fmt: skip
observation_parameters = named(
    ("code", coded), ("code:not", coded), ("code:text", words.map(escaped)), ("combo-code", coded), ("component-code", coded),
    ("category", coded), ("category:not", coded), ("status", st.just("final")), ("status:not", st.just("final")),
    ("date", either(when)), ("date", when), ("value-date", when), ("value-quantity", either(measured)), ("value-quantity", measured),
    ("combo-value-quantity", measured), ("component-value-quantity", measured), ("value-string", texts),
    ("value-concept", coded), ("subject", people), ("patient", people), ("subject:Patient", st.sampled_from(PATIENTS)),
    ("subject:identifier", numbered), ("subject", st.sampled_from(["Group/g1", "http://other.example/Patient/p1", "Patient/p0/_history/2"])),
    ("performer", either(st.sampled_from(["Practitioner/d0", "d1", "Patient/p0"]))),
    ("code-value-quantity", st.tuples(tokens, measured).map("$".join)),
    ("component-code-value-quantity", either(st.tuples(tokens, measured).map("$".join))),
    ("combo-code-value-quantity", st.tuples(tokens, measured).map("$".join)),
    ("code-value-concept", st.tuples(tokens, tokens).map("$".join)),
    ("combo-code-value-concept", st.tuples(tokens, tokens).map("$".join)),
    ("code-value-string", st.tuples(tokens, words.map(escaped)).map("$".join)),
    ("code-value-date", st.tuples(tokens, when).map("$".join)),
    ("subject:Patient.name", texts), ("patient.gender", st.sampled_from(["male", "female"])), ("patient.birthdate", when),
    ("subject:Patient.general-practitioner.family", texts), ("patient._has:Observation:patient:status", st.just("final")),
    ("performer:Practitioner.active", booleans), ("value-quantity:missing", booleans), ("date:missing", booleans),
    ("combo-code:missing", booleans), ("patient:missing", booleans),
)  # fmt: skip
risk_parameters = named(("probability", either(counted)), ("probability:missing", booleans), ("subject", people))
uris = st.sampled_from(
    ["http://x.example/a", "http://x.example/a/b", "http://x.example/ab", "urn:uuid:1", "http://x.example/"]
)
value_set_parameters = named(("url", either(uris)), ("url:below", uris), ("url:above", uris), ("url:missing", booleans))

searches = st.one_of(
    st.tuples(st.just("Patient"), st.lists(patient_parameters, min_size=1, max_size=3)),
    st.tuples(st.just("Observation"), st.lists(observation_parameters, min_size=1, max_size=3)),
    st.tuples(st.just("Observation"), st.lists(observation_parameters, min_size=1, max_size=1)),
    st.tuples(st.just("RiskAssessment"), st.lists(risk_parameters, min_size=1, max_size=2)),
    st.tuples(st.just("ValueSet"), st.lists(value_set_parameters, min_size=1, max_size=2)),
)
