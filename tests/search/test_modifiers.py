"""Modifiers, chains and composites: the rules that servers get wrong (traps 11 to 17)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.search.asking import coded, found, observation, patient, refused, store

MISSING = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


async def test_not_finds_what_lacks_the_element(client: httpx.AsyncClient) -> None:
    """Trap 11: `:not=x` finds a resource without the element, and none of whose many codings one is x."""
    await store(
        client,
        observation("x", category=[coded(("urn:s", "x"))]),
        observation("both", category=[coded(("urn:s", "x"), ("urn:s", "y")), coded(("urn:s", "z"))]),
        observation("y", category=[coded(("urn:s", "y"))]),
        observation("none"),
    )
    assert await found(client, "Observation?category:not=x") == {"y", "none"}
    assert await found(client, "Observation?category:not=urn:s|x") == {"y", "none"}


async def test_not_of_several_excludes_each(client: httpx.AsyncClient) -> None:
    """Trap 12: `:not=a,b` excludes both, and repeated `:not` is AND."""
    await store(client, *(patient(gender, gender=gender) for gender in ("male", "female", "other")), patient("none"))
    assert await found(client, "Patient?gender:not=male,female") == {"other", "none"}
    assert await found(client, "Patient?gender:not=male&gender:not=female") == {"other", "none"}


async def test_missing_is_about_values(client: httpx.AsyncClient) -> None:
    """Trap 13: an element with an extension but no value is missing, and two `:missing` do not cancel out."""
    await store(
        client,
        patient("there", birthDate="2001-01-01"),
        patient("absent"),
        patient("extended", _birthDate=MISSING),
    )
    assert await found(client, "Patient?birthdate:missing=true") == {"absent", "extended"}
    assert await found(client, "Patient?birthdate:missing=false") == {"there"}
    assert await found(client, "Patient?birthdate:missing=true&birthdate:missing=true") == {"absent", "extended"}
    assert await found(client, "Patient?birthdate:missing=true&birthdate:missing=false") == set()
    await refused(client, "Patient?birthdate:missing=perhaps", "birthdate")


@pytest.mark.parametrize(
    ("search", "named"),
    [
        ("Patient?birthdate:exact=2001", "birthdate"),
        ("Patient?family:above=x", "family"),
        ("Patient?gender:contains=male", "gender"),
        ("Patient?family:unheard-of=x", "family"),
        ("Observation?value-quantity:text=1", "value-quantity"),
        ("Observation?subject:contains=1", "subject"),
        ("Observation?code-value-quantity:not=a$1", "code-value-quantity"),
        ("RiskAssessment?probability:exact=1", "probability"),
        ("ValueSet?url:exact=urn:x", "url"),
        ("Patient?_id:contains=x", "_id"),
        ("Patient?_lastUpdated:exact=2020", "_lastUpdated"),
        ("Observation?patient.birthdate:exact=2001", "birthdate"),
        ("Patient?_has:Observation:patient:date:exact=2001", "date"),
    ],
)
async def test_a_modifier_that_is_not_allowed_is_refused(client: httpx.AsyncClient, search: str, named: str) -> None:
    """Trap 14: a modifier that the type does not take is a 400 that names the parameter."""
    await refused(client, search, named)


@pytest.mark.parametrize("search", ["Patient?gender=gtmale", "Patient?family=gtx", "Patient?_id=gt1"])
async def test_a_prefix_is_text_where_there_is_no_order(client: httpx.AsyncClient, search: str) -> None:
    """Prefixes belong to numbers, dates and quantities: elsewhere the letters are part of the value."""
    await store(client, patient("1", gender="male", name=[{"family": "xyz"}]))
    assert await found(client, search) == set()


async def test_identifier_looks_at_logical_references(client: httpx.AsyncClient) -> None:
    """Trap 15: `:identifier` finds Reference.identifier only, not the identifiers of what is referred to."""
    number = {"system": "urn:mrn", "value": "7"}
    await store(
        client,
        patient("p", identifier=[number]),
        observation("logical", subject={"identifier": number}),
        observation("literal", subject={"reference": "Patient/p"}),
    )
    assert await found(client, "Observation?subject:identifier=urn:mrn|7") == {"logical"}
    assert await found(client, "Observation?subject:identifier=7") == {"logical"}
    assert await found(client, "Observation?subject.identifier=urn:mrn|7") == {"literal"}


async def test_of_type_needs_three_parts(client: httpx.AsyncClient) -> None:
    """Trap 15: `:of-type` is system|code|value of one identifier, and anything less is refused."""

    def typed(code: str, value: str) -> dict[str, Any]:
        return {"type": coded(("http://terminology.hl7.org/CodeSystem/v2-0203", code)), "value": value}

    await store(
        client,
        patient("mr", identifier=[typed("MR", "1"), typed("SS", "2")]),
        patient("ss", identifier=[typed("SS", "1")]),
    )
    system = "http://terminology.hl7.org/CodeSystem/v2-0203"
    assert await found(client, f"Patient?identifier:of-type={system}|MR|1") == {"mr"}
    assert await found(client, f"Patient?identifier:of-type={system}|MR|2") == set()
    for partial in ("MR|1", f"{system}||1", f"{system}|MR|", "1"):
        await refused(client, f"Patient?identifier:of-type={partial}", "identifier")


async def test_a_type_may_stand_before_the_only_target(client: httpx.AsyncClient) -> None:
    """Trap 15: `patient:Patient.name` is `patient.name`, and `subject:Patient` is the reference with that type."""
    await store(
        client,
        patient("p", name=[{"family": "Doe"}]),
        observation("o", subject={"reference": "Patient/p"}),
        observation("g", subject={"reference": "Group/p"}),
    )
    for search in ("patient.name=doe", "patient:Patient.name=doe", "subject:Patient.name=doe", "subject:Patient=p"):
        assert await found(client, f"Observation?{search}") == {"o"}, search
    assert await found(client, "Observation?subject:Group.code=doe") == set()
    assert await found(client, "Observation?patient=Group/p") == set()


async def test_a_parameter_of_one_type_leads_to_no_other(client: httpx.AsyncClient) -> None:
    """Appointment's `patient` and `actor` read one element: through `patient` nothing leads to a practitioner."""
    doctor = {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Vasari"}]}
    seen = {
        "resourceType": "Appointment",
        "id": "a",
        "status": "proposed",
        "participant": [{"actor": {"reference": "Practitioner/d"}, "status": "accepted"}],
    }
    await store(client, doctor, seen)
    assert await found(client, "Practitioner?_has:Appointment:actor:status=proposed") == {"d"}
    assert await found(client, "Practitioner?_has:Appointment:patient:status=proposed") == set()
    assert await found(client, "Appointment?actor:Practitioner.family=vasari") == {"a"}
    assert await found(client, "Appointment?patient:Practitioner.family=vasari") == set()
    assert await found(client, 'Appointment?_filter=patient:Practitioner.family eq "vasari"') == set()


async def test_a_primitive_with_only_an_extension_matches_nothing(client: httpx.AsyncClient) -> None:
    """Trap 16: `_birthDate` without `birthDate` neither fails nor is found by any value."""
    await store(
        client,
        patient("p", _birthDate=MISSING, name=[{"_family": MISSING, "given": [None, "A"], "_given": [MISSING, None]}]),
    )
    for search in ("birthdate=ge1000", "birthdate=ne2001-01-01", "family=u", "family:contains=u", "birthdate=ap2001"):
        assert await found(client, f"Patient?{search}") == set(), search
    assert await found(client, "Patient?given=a") == {"p"}
    assert await found(client, "Patient?_sort=birthdate") == {"p"}


async def test_a_composite_holds_within_one_component(client: httpx.AsyncClient) -> None:
    """Trap 17: each half true on another component is false; a comma joins tuples."""
    systolic, diastolic = coded(("http://loinc.org", "8480-6")), coded(("http://loinc.org", "8462-4"))
    await store(
        client,
        observation(
            "o",
            component=[
                {"code": systolic, "valueQuantity": {"value": 120}},
                {"code": diastolic, "valueQuantity": {"value": 80}},
            ],
        ),
    )
    name = "Observation?component-code-value-quantity"
    assert await found(client, f"{name}=8480-6$gt100") == {"o"}
    assert await found(client, f"{name}=8462-4$gt100") == set()
    assert await found(client, f"{name}=8462-4$gt100,http://loinc.org|8462-4$80") == {"o"}
    assert await found(client, f"{name}=8462-4$80&component-code-value-quantity=8480-6$120") == {"o"}
    await refused(client, f"{name}=8480-6", "component-code-value-quantity")


async def test_text_looks_beside_the_code(client: httpx.AsyncClient) -> None:
    """`:text` begins the text or a display of a code, whatever its case."""
    await store(
        client,
        observation("text", code={"text": "Blood Pressure"}),
        observation("display", code={"coding": [{"system": "urn:s", "code": "bp", "display": "blood gas"}]}),
        observation("code", code=coded(("urn:s", "blood"))),
    )
    assert await found(client, "Observation?code:text=blood") == {"text", "display"}


async def test_uris_are_below_by_whole_segments(client: httpx.AsyncClient) -> None:
    """`:below` takes longer paths, `:above` shorter ones, by segments; a urn has neither."""
    urls = {"a": "http://x.org/fhir", "b": "http://x.org/fhir/a", "c": "http://x.org/fhirs", "d": "urn:oid:1.2"}
    await store(
        client, *({"resourceType": "ValueSet", "id": key, "status": "draft", "url": url} for key, url in urls.items())
    )
    assert await found(client, "ValueSet?url=http://x.org/fhir") == {"a"}
    assert await found(client, "ValueSet?url:below=http://x.org/fhir") == {"a", "b"}
    assert await found(client, "ValueSet?url:above=http://x.org/fhir/a/z") == {"a", "b"}
    assert await found(client, "ValueSet?url=http://x.org/FHIR") == set()


async def test_codes_are_found_by_value_set_and_hierarchy(client: httpx.AsyncClient) -> None:
    """`:in`, `:not-in`, `:below` and `:above` rest on the value sets and code systems that are stored."""
    system = {
        "resourceType": "CodeSystem",
        "id": "s",
        "url": "urn:s",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "top", "concept": [{"code": "middle", "concept": [{"code": "leaf"}]}]}, {"code": "other"}],
    }
    value_set = {
        "resourceType": "ValueSet",
        "id": "v",
        "url": "urn:v",
        "status": "active",
        "compose": {"include": [{"system": "urn:s", "concept": [{"code": "leaf"}, {"code": "other"}]}]},
    }
    await store(client, system, value_set, observation("none"))
    await store(
        client, *(observation(code, code=coded(("urn:s", code))) for code in ("top", "middle", "leaf", "other"))
    )
    assert await found(client, "Observation?code:in=urn:v") == {"leaf", "other"}
    assert await found(client, "Observation?code:not-in=urn:v") == {"top", "middle", "none"}
    assert await found(client, "Observation?code:below=urn:s|middle") == {"middle", "leaf"}
    assert await found(client, "Observation?code:above=urn:s|middle") == {"top", "middle"}
    await refused(client, "Observation?code:in=urn:unheard-of", "urn:unheard-of")


async def test_what_a_value_set_excludes_is_not_in_it(client: httpx.AsyncClient) -> None:
    """`:in` and `:not-in` leave out what a value set excludes of a whole system, directly or through another set."""

    def value_set(name: str, include: list[Any], exclude: list[Any]) -> dict[str, Any]:
        compose = {"include": include, "exclude": exclude}
        return {"resourceType": "ValueSet", "id": name, "url": f"urn:{name}", "status": "active", "compose": compose}

    whole, some = {"system": "urn:s"}, {"system": "urn:s", "concept": [{"code": "b"}]}
    await store(
        client,
        value_set("direct", [whole], [some]),
        value_set("bs", [some], [{"system": "urn:t"}]),
        value_set("through", [{"valueSet": ["urn:all"]}], [{"valueSet": ["urn:bs"]}]),
        value_set("all", [whole, {"system": "urn:t"}], [{"system": "urn:t"}]),
        value_set("again", [{"valueSet": ["urn:direct"]}, some], [{"system": "urn:s", "concept": [{"code": "c"}]}]),
        value_set("inverse", [whole], [{"valueSet": ["urn:direct"]}]),
        observation("none"),
        *(observation(code, code=coded(("urn:s", code))) for code in "abc"),
        observation("both", code=coded(("urn:s", "b"), ("urn:s", "c"))),
        observation("other", code=coded(("urn:t", "b"))),
    )
    for name, inside in (
        ("direct", {"a", "c", "both"}),
        ("through", {"a", "c", "both"}),
        ("again", {"a", "b", "both"}),
        ("inverse", {"b", "both"}),
    ):
        assert await found(client, f"Observation?code:in=urn:{name}") == inside, name
        outside = {"none", "a", "b", "c", "both", "other"} - inside
        assert await found(client, f"Observation?code:not-in=urn:{name}") == outside, name
