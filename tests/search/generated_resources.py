"""Small worlds for hypothesis: resources whose values lie close together, so that searches find some and not others.

Everything that a search may trip over is among them: missing values, primitives with nothing but an extension, several
codings, open periods, decimals of differing precision, times with different offsets, texts that fold.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Resource = dict[str, Any]
Strategy = st.SearchStrategy[Any]

LOINC = "http://loinc.org"
LOCAL = "https://codes.example.org/a|b"
UCUM = "http://unitsofmeasure.org"
ABSENT = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}

TIMES = (
    "2024-01-15T10:30:00Z",
    "2024-01-15T10:30:00.250Z",
    "2024-01-15T10:30:59.999Z",
    "2024-01-15T23:59:59.999Z",
    "2024-01-16T00:00:00Z",
    "2024-01-15T22:00:00-05:00",
    "2024-01-16T01:30:00+02:00",
    "2024-01-16T04:00:00+05:30",
    "2024-01-31T23:59:59Z",
    "2024-02-29T12:00:00Z",
    "2023-12-31T23:30:00-01:00",
)
DATES = ("2024", "2023", "2024-01", "2024-02", "2024-01-15", "2024-01-16", "2024-02-29", "1951-07-04", "2023-12-31")
NUMBERS = tuple(
    map(Decimal, ("0", "0.01", "1", "5.40", "9.95", "99.5", "99.95", "100", "100.0", "100.04", "100.5", "-1"))
)
FAMILIES = ("Müller", "MULLER", "Muller-Lüdenscheidt", "O'Neill", "Straße", "van  der Berg", "Ánna", "Ανδρέας", "李")
GIVENS = ("Anna", "Ánna\u0301", "anna maria", "Bo", "Łukasz")
CITIES = ("Köln", "Koln", "New York", "Newport")
IDS = ("a", "b", "c")


def optional(**fields: Strategy) -> Strategy:
    """Return dictionaries in which each field is there or not."""
    return st.fixed_dictionaries({}, optional=fields)


def some(strategy: Strategy, most: int = 2) -> Strategy:
    """Return short lists, never empty as FHIR's never are."""
    return st.lists(strategy, min_size=1, max_size=most)


codings = st.sampled_from(
    (
        {"system": LOINC, "code": "8480-6", "display": "Systolic blood pressure"},
        {"system": LOINC, "code": "LA6576-8", "display": "Positive"},
        {"system": LOINC, "code": "la6576-8"},
        {"system": LOCAL, "code": "8480-6"},
        {"system": LOCAL, "code": "A,b"},
        {"system": LOCAL, "display": "no code"},
        {"code": "8480-6"},
        {"code": "plain"},
    )
)
concepts = optional(
    coding=some(codings, 3), text=st.sampled_from(("Systolic pressure", "Über Nacht", "nothing"))
).filter(bool)
identifiers = st.sampled_from(
    (
        {"system": "urn:mrn", "value": "1"},
        {"system": "urn:mrn", "value": "2"},
        {"system": "urn:ssn", "value": "1"},
        {"value": "1"},
        {
            "system": "urn:mrn",
            "value": "1",
            "type": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}],
                "text": "Medical record",
            },
        },
    )
)
quantities = st.builds(
    lambda value, unit: {"value": value, **unit},
    st.sampled_from(NUMBERS),
    st.sampled_from(
        (
            {"system": UCUM, "code": "mg", "unit": "mg"},
            {"system": UCUM, "code": "g", "unit": "gram"},
            {"system": UCUM, "code": "kg"},
            {"system": UCUM, "code": "Cel"},
            {"system": UCUM, "code": "[degF]"},
            {"system": LOCAL, "code": "g"},
            {"unit": "mg"},
            {},
        )
    ),
)
times = st.sampled_from(TIMES)
date_times = st.sampled_from(TIMES + DATES)
periods = st.one_of(
    st.builds(lambda start: {"start": start}, date_times),
    st.builds(lambda end: {"end": end}, date_times),
    st.builds(
        lambda one, two: {"start": min(one, two), "end": max(one, two)}, st.sampled_from(DATES), st.sampled_from(DATES)
    ),
)
timings = st.builds(lambda event: {"event": event}, some(times, 3))


def references(*types: str) -> Strategy:
    """Return references to resources that may or may not be there, in every form that a reference has."""
    local = st.builds("{}/{}".format, st.sampled_from(types), st.sampled_from(IDS))
    absolute = local.map("https://elsewhere.example.org/fhir/{}".format)
    logical = st.builds(lambda result: {"identifier": result}, identifiers)
    return st.one_of(
        local.map(lambda text: {"reference": text}),
        local.map(lambda text: {"reference": text}),
        absolute.map(lambda text: {"reference": text}),
        logical,
    )


patient_references = references("Patient")


def _with_absent(strategy: Strategy, *names: str) -> Strategy:
    # A primitive with nothing but an extension: the element is there, a value is not.
    def mark(resource: Resource, name: str) -> Resource:
        return resource if name == "" or name in resource else {**resource, f"_{name}": ABSENT}

    return st.builds(mark, strategy, st.sampled_from(("", *names)))


names = optional(family=st.sampled_from(FAMILIES), given=some(st.sampled_from(GIVENS))).filter(bool)
telecoms = st.sampled_from(
    (
        {"system": "phone", "value": "555 1"},
        {"system": "email", "value": "anna@example.org"},
        {"system": "email", "value": "555 1"},
        {"system": "sms", "value": "555 1"},
    )
)
addresses = optional(
    line=some(st.sampled_from(("1 Köln Street", "Newport Alley"))), city=st.sampled_from(CITIES)
).filter(bool)

_DECEASED: tuple[Resource, ...] = (
    {},
    {"deceasedBoolean": True},
    {"deceasedBoolean": False},
    {"deceasedDateTime": "2024-01-15T10:30:00Z"},
    {"deceasedDateTime": "2024"},
)
patients = _with_absent(
    st.builds(
        lambda fields, deceased: {**fields, **deceased},
        optional(
            identifier=some(identifiers),
            active=st.booleans(),
            name=some(names),
            telecom=some(telecoms),
            gender=st.sampled_from(("male", "female", "unknown")),
            birthDate=st.sampled_from(DATES),
            address=some(addresses),
            generalPractitioner=some(references("Practitioner", "Organization")),
            managingOrganization=references("Organization"),
        ),
        st.sampled_from(_DECEASED),
    ),
    "birthDate",
    "gender",
    "active",
)
values = st.one_of(
    quantities.map(lambda value: {"valueQuantity": value}),
    quantities.map(lambda value: {"valueQuantity": value}),
    concepts.map(lambda value: {"valueCodeableConcept": value}),
    st.sampled_from(GIVENS).map(lambda value: {"valueString": value}),
    date_times.map(lambda value: {"valueDateTime": value}),
    periods.map(lambda value: {"valuePeriod": value}),
    st.just({"dataAbsentReason": {"text": "unknown"}}),
)
_EFFECTIVE = st.one_of(
    st.just({}),
    date_times.map(lambda value: {"effectiveDateTime": value}),
    times.map(lambda value: {"effectiveInstant": value}),
    periods.map(lambda value: {"effectivePeriod": value}),
    timings.map(lambda value: {"effectiveTiming": value}),
    st.just({"_effectiveDateTime": ABSENT}),
)
_components = st.builds(lambda code, value: {"code": code, **value}, concepts, values)


def _observation(fields: Resource, status: str, code: Resource, value: Resource, effective: Resource) -> Resource:
    # obs-7: a component has another code than the whole, where the whole has a value.
    others = [each for each in fields.get("component", ()) if not _share_coding(each["code"], code)]
    kept = {name: result for name, result in fields.items() if name != "component"}
    return {**kept, **({"component": others} if others else {}), "status": status, "code": code, **value, **effective}


def _share_coding(one: Resource, other: Resource) -> bool:
    return any(coding in other.get("coding", ()) for coding in one.get("coding", ()))


observations = st.builds(
    _observation,
    optional(
        identifier=some(identifiers),
        category=some(concepts),
        subject=references("Patient", "Group"),
        encounter=references("Encounter"),
        performer=some(references("Practitioner", "Patient")),
        hasMember=some(references("Observation")),
        component=some(_components, 3),
    ),
    st.sampled_from(("final", "preliminary")),
    concepts,
    values,
    _EFFECTIVE,
)
encounters = st.builds(
    lambda fields, status, kind: {**fields, "status": status, "class": kind},
    optional(
        type=some(concepts),
        subject=patient_references,
        period=periods,
        length=st.builds(
            lambda value, unit: {"value": value, "system": UCUM, "code": unit},
            st.sampled_from((Decimal(1), Decimal(60), Decimal("0.5"))),
            st.sampled_from(("h", "min", "d")),
        ),
        partOf=references("Encounter"),
        participant=some(references("Practitioner").map(lambda value: {"individual": value})),
    ),
    st.sampled_from(("planned", "finished")),
    codings.filter(lambda coding: "code" in coding),
)
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
conditions = st.builds(
    lambda fields, subject, onset, status: {
        **fields,
        "subject": subject,
        **onset,
        "clinicalStatus": {"coding": [{"system": _CLINICAL, "code": status}]},
    },
    optional(code=concepts, encounter=references("Encounter"), recordedDate=date_times),
    patient_references,
    st.one_of(
        st.just({}),
        date_times.map(lambda value: {"onsetDateTime": value}),
        periods.map(lambda value: {"onsetPeriod": value}),
        st.sampled_from((Decimal(1), Decimal("30"))).map(
            lambda value: {"onsetAge": {"value": value, "system": UCUM, "code": "a"}}
        ),
    ),
    st.sampled_from(("active", "recurrence")),
)
medication_requests = st.builds(
    lambda fields, subject, medication, status, intent: {
        **fields,
        **medication,
        "subject": subject,
        "status": status,
        "intent": intent,
    },
    optional(
        authoredOn=date_times,
        encounter=references("Encounter"),
        dosageInstruction=some(timings.map(lambda timing: {"timing": timing})),
    ),
    patient_references,
    st.one_of(
        concepts.map(lambda value: {"medicationCodeableConcept": value}),
        references("Medication").map(lambda value: {"medicationReference": value}),
    ),
    st.sampled_from(("active", "stopped")),
    st.sampled_from(("order", "plan")),
)
_participants = st.builds(
    lambda actor, status: {"actor": actor, "status": status},
    references("Patient", "Practitioner"),
    st.sampled_from(("accepted", "declined")),
)
appointments = st.builds(
    lambda fields, start: {
        **fields,
        "status": "proposed",
        **({"start": start, "end": "2025-01-01T00:00:00Z"} if start else {}),
    },
    st.fixed_dictionaries({"participant": some(_participants, 3)}, optional={"slot": some(references("Slot"))}),
    st.one_of(st.none(), times),
)
slots = st.builds(
    lambda schedule, status, start: {
        "schedule": schedule,
        "status": status,
        "start": start,
        "end": "2025-01-01T00:00:00Z",
    },
    references("Schedule"),
    st.sampled_from(("free", "busy")),
    times,
)
risk_assessments = st.builds(
    lambda predictions, subject, occurrence: {
        "status": "final",
        "subject": subject,
        "prediction": [{"probabilityDecimal": value} for value in predictions],
        **occurrence,
    },
    some(st.sampled_from([number for number in NUMBERS if 0 <= number <= 100]), 3),
    references("Patient", "Group"),
    st.one_of(
        st.just({}),
        date_times.map(lambda value: {"occurrenceDateTime": value}),
        periods.map(lambda value: {"occurrencePeriod": value}),
    ),
)
practitioners = optional(
    identifier=some(identifiers),
    active=st.booleans(),
    name=some(names),
    telecom=some(telecoms),
    gender=st.sampled_from(("male", "female")),
    address=some(addresses),
)
organizations = st.builds(
    lambda fields, name: {**fields, "name": name},
    optional(alias=some(st.sampled_from(FAMILIES)), partOf=references("Organization"), active=st.booleans()),
    st.sampled_from(FAMILIES),
)
URLS = (
    "https://example.org/fhir",
    "https://example.org/fhir/sets",
    "https://example.org/fhir/sets/one",
    "https://example.org/fhir/sets-two",
    "urn:oid:1.2.3",
)
value_sets = st.builds(
    lambda fields, url: {**fields, "status": "draft", "url": url},
    optional(version=st.sampled_from(("1.0a", "1.0A", "2")), date=st.sampled_from(DATES)),
    st.sampled_from(URLS),
)

TYPES: dict[str, Strategy] = {
    "Patient": patients,
    "Observation": observations,
    "Encounter": encounters,
    "Condition": conditions,
    "MedicationRequest": medication_requests,
    "Appointment": appointments,
    "Slot": slots,
    "RiskAssessment": risk_assessments,
    "Practitioner": practitioners,
    "Organization": organizations,
    "ValueSet": value_sets,
}


def worlds(*types: str, most: int = 3) -> Strategy:
    """Return lists of up to three resources of each type, with ids of their own."""

    def named(resource_type: str, bodies: list[Resource]) -> list[Resource]:
        return [
            {"resourceType": resource_type, "id": resource_id, **body}
            for resource_id, body in zip("abcdefgh", bodies, strict=False)
        ]

    def several(resource_type: str) -> Strategy:
        bodies = st.lists(TYPES[resource_type], min_size=1, max_size=most)
        return bodies.map(lambda result: named(resource_type, result))

    return st.tuples(*map(several, types)).map(lambda lists: [resource for result in lists for resource in result])
