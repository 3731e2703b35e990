"""Searches for hypothesis: parameters with values close to those of the generated resources, by parameter type."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.search.generated_resources import CITIES, DATES, FAMILIES, GIVENS, IDS, LOINC, TIMES, UCUM, URLS, Strategy
from tests.search.oracle.parameters import PARAMETERS, Parameter
from tests.search.oracle.spans import PREFIXES

Criterion = tuple[str, str]

LOCAL = r"https://codes.example.org/a\|b"
_prefixes = st.sampled_from(("", *PREFIXES))


def prefixed(values: Strategy) -> Strategy:
    """Return values with a prefix, or without."""
    return st.builds(str.__add__, _prefixes, values)


dates = prefixed(
    st.sampled_from(
        (*TIMES, *DATES, "2024-01-15T10:30", "2024-01-15T10:30Z", "2024-01-15T10:30:00", "2024-01-16T00:00", "2100")
    )
)
numbers = prefixed(st.sampled_from(("0", "0.01", "0.010", "1", "5.4", "9.9", "99.5", "100", "100.0", "100.00", "-1")))
_units = st.sampled_from(
    (
        "",
        f"|{UCUM}|g",
        f"|{UCUM}|mg",
        f"|{UCUM}|kg",
        f"|{UCUM}|Cel",
        f"|{UCUM}|[degF]",
        f"|{UCUM}|K",
        f"|{UCUM}|min",
        f"|{UCUM}|h",
        f"|{UCUM}|a",
        f"|{LOCAL}|g",
        "||mg",
        "||g",
        "||gram",
    )
)
quantities = st.builds(str.__add__, numbers, _units)
_TEXTS = ("muller", "MÜLL", "oneill", "o'neill", "strasse", "van der", "an", "Anna", "ανδρεας", "łukasz", "李", "kol")
strings = st.sampled_from(_TEXTS + FAMILIES + GIVENS + CITIES)
tokens = st.sampled_from(
    (
        "8480-6",
        f"{LOINC}|8480-6",
        f"{LOINC}|LA6576-8",
        "la6576-8",
        "LA6576-8",
        f"{LOINC}|",
        f"{LOCAL}|",
        rf"{LOCAL}|A\,b",
        r"A\,b",
        "|8480-6",
        "|plain",
        "plain",
        "nowhere",
    )
)
identifiers = st.sampled_from(("1", "2", "urn:mrn|1", "urn:mrn|2", "urn:ssn|1", "|1", "urn:mrn|", "urn:none|1", "3"))
_CODES = {
    "gender": ("male", "female", "unknown", "|male", "Male"),
    "status": ("final", "planned", "active", "busy", "free", "|final", "draft"),
    "intent": ("order", "plan"),
    "active": ("true", "false"),
    "telecom": ("555 1", "anna@example.org"),
    "phone": ("555 1", "anna@example.org"),
    "email": ("555 1", "anna@example.org"),
    "part-status": ("accepted", "declined"),
    "clinical-status": (
        "active",
        "http://terminology.hl7.org/CodeSystem/condition-clinical|active",
        "http://terminology.hl7.org/CodeSystem/condition-clinical|",
    ),
    "version": ("1.0a", "1.0A", "2", "1"),
}
_REFERRED = ("Patient", "Group", "Practitioner", "Organization", "Encounter", "Observation", "Slot", "Schedule")
references = st.builds(
    str.format,
    st.sampled_from(
        ("{0}", "{1}/{0}", "http://server.test/fhir/{1}/{0}", "https://elsewhere.example.org/fhir/{1}/{0}")
    ),
    st.sampled_from(IDS),
    st.sampled_from(_REFERRED),
)


def values(code: str, parameter: Parameter) -> Strategy:
    """Return search values for a parameter, without the commas that join them."""
    match parameter.type:
        case "token":
            if code in _CODES:
                return st.sampled_from(_CODES[code])
            return identifiers if code == "identifier" else tokens
        case "composite":
            parts = [_PARTS[kind] for kind, _ in parameter.parts]
            return st.tuples(*parts).map("$".join)
        case "uri":
            return st.sampled_from(URLS)
    return _PARTS[parameter.type]


_PARTS = {
    "token": tokens,
    "string": strings,
    "date": dates,
    "number": numbers,
    "quantity": quantities,
    "reference": references,
}


def joined(one: Strategy) -> Strategy:
    """Return one value, or several joined by commas."""
    return st.lists(one, min_size=1, max_size=3).map(",".join)


def plain(resource_type: str, *kinds: str) -> Strategy:
    """Return criteria without modifiers on the parameters of a type, of some kinds only where they are named."""
    by_name = {code: result for code, result in PARAMETERS[resource_type].items() if not kinds or result.type in kinds}
    return st.sampled_from(sorted(by_name)).flatmap(
        lambda code: st.tuples(st.just(code), joined(values(code, by_name[code])))
    )


_MODIFIERS = {
    "string": ("exact", "contains"),
    "token": ("not", "text"),
    "uri": ("below", "above"),
    "reference": ("identifier", "Patient", "Practitioner"),
}


def modified(resource_type: str, *kinds: str) -> Strategy:
    """Return criteria with a modifier that the parameter's type allows."""
    by_name = {
        code: result
        for code, result in PARAMETERS[resource_type].items()
        if result.type in _MODIFIERS and (not kinds or result.type in kinds)
    }
    return st.sampled_from(sorted(by_name)).flatmap(lambda code: _modified(code, by_name[code]))


def _modified(code: str, parameter: Parameter) -> Strategy:
    def with_values(modifier: str) -> Strategy:
        if modifier == "text":
            result = st.sampled_from(("systolic", "über", "Uber", "pos", "pressure", "medical"))
        elif modifier == "identifier":
            result = identifiers
        elif modifier in ("Patient", "Practitioner"):
            result = st.sampled_from(IDS)
        else:
            result = values(code, parameter)
        return st.tuples(st.just(f"{code}:{modifier}"), joined(result))

    allowed = _MODIFIERS[parameter.type]
    if code in ("telecom", "phone", "email"):
        allowed = ("not",)
    return st.sampled_from(allowed).flatmap(with_values)


def missing(resource_type: str) -> Strategy:
    """Return criteria of `:missing` on any parameter."""
    return st.tuples(
        st.sampled_from(sorted(PARAMETERS[resource_type])).map("{}:missing".format), st.sampled_from(("true", "false"))
    )


def simple(resource_type: str) -> Strategy:
    """Return criteria of every form but chains."""
    choices = [plain(resource_type), plain(resource_type), missing(resource_type)]
    if any(result.type in _MODIFIERS for result in PARAMETERS[resource_type].values()):
        choices.append(modified(resource_type))
    return st.one_of(*choices)


_CHAINS = {
    "Observation": (
        ("subject:Patient", "Patient"),
        ("patient", "Patient"),
        ("encounter", "Encounter"),
        ("has-member", "Observation"),
    ),
    "Encounter": (("patient", "Patient"), ("part-of", "Encounter"), ("participant:Practitioner", "Practitioner")),
    "Condition": (("patient", "Patient"), ("encounter", "Encounter"), ("subject", "Patient")),
    "MedicationRequest": (("patient", "Patient"), ("encounter", "Encounter")),
    "Appointment": (
        ("patient", "Patient"),
        ("slot", "Slot"),
        ("actor:Practitioner", "Practitioner"),
        ("actor", "Patient"),
    ),
    "Patient": (
        ("organization", "Organization"),
        ("general-practitioner:Practitioner", "Practitioner"),
        ("general-practitioner", "Organization"),
    ),
    "Organization": (("partof", "Organization"),),
    "RiskAssessment": (("patient", "Patient"),),
}
_REVERSE = {
    "Patient": (
        ("Observation", "patient"),
        ("Observation", "subject"),
        ("Encounter", "patient"),
        ("Condition", "subject"),
        ("Appointment", "patient"),
        ("Observation", "performer"),
    ),
    "Encounter": (("Observation", "encounter"), ("Condition", "encounter"), ("Encounter", "part-of")),
    "Practitioner": (("Patient", "general-practitioner"), ("Encounter", "participant")),
    "Organization": (("Patient", "organization"), ("Organization", "partof")),
    "Slot": (("Appointment", "slot"),),
    "Observation": (("Observation", "has-member"),),
}


def chained(resource_type: str, depth: int = 2) -> Strategy:
    """Return criteria that reach other resources: chains and `_has`, one within the other up to a depth."""
    if depth == 0:
        return simple(resource_type)
    choices = [_forward(steps, target, depth) for steps, target in _CHAINS.get(resource_type, ())]
    choices += [_backward(source, code, depth) for source, code in _REVERSE.get(resource_type, ())]
    return st.one_of(*choices, simple(resource_type)) if choices else simple(resource_type)


def _forward(step: str, target: str, depth: int) -> Strategy:
    return st.deferred(lambda: chained(target, depth - 1).map(lambda inner: (f"{step}.{inner[0]}", inner[1])))


def _backward(source: str, code: str, depth: int) -> Strategy:
    return st.deferred(
        lambda: chained(source, depth - 1).map(lambda inner: (f"_has:{source}:{code}:{inner[0]}", inner[1]))
    )
