"""The words of a patient's record page: what resource types, elements and codes are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from translations.catalogue import NP_, SOURCE, Language, translated

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}"
    "article{border:1px solid #ccc;border-radius:.4rem;margin:.6rem 0;padding:.4rem .8rem}"
    "dl{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.1rem .8rem;margin:.2rem 0}"
    "dt{color:#555}dd{margin:0;overflow-wrap:anywhere;white-space:pre-line}"
)

_PAGE, _ELEMENT = "health record", "element of a resource"
"""Contexts in the catalogues."""

_LABELS = {
    "title": NP_("health record", "Your health record"),
    "introduction": NP_(
        "health record",
        "This is everything that is stored about you, with the files, which you can save from this page.",
    ),
    "yes": NP_("health record", "yes"),
    "no": NP_("health record", "no"),
    "download": NP_("health record", "Save the file"),
    "elsewhere": NP_("health record", "kept elsewhere"),
    "somebody": NP_("health record", "another person"),
}

_TYPES = {
    "AllergyIntolerance": NP_("health record", "Allergies and intolerances"),
    "Appointment": NP_("health record", "Appointments"),
    "Binary": NP_("health record", "Files"),
    "CarePlan": NP_("health record", "Treatment plans"),
    "Claim": NP_("health record", "Insurance claims"),
    "Communication": NP_("health record", "Notifications"),
    "Condition": NP_("health record", "Conditions"),
    "Consent": NP_("health record", "Consents"),
    "Coverage": NP_("health record", "Insurance policies"),
    "CoverageEligibilityRequest": NP_("health record", "Insurance enquiries"),
    "CoverageEligibilityResponse": NP_("health record", "Answers of the insurance"),
    "DiagnosticReport": NP_("health record", "Reports"),
    "DocumentReference": NP_("health record", "Documents"),
    "Encounter": NP_("health record", "Visits"),
    "HealthcareService": NP_("health record", "Specialties"),
    "Immunization": NP_("health record", "Vaccinations"),
    "Invoice": NP_("health record", "Invoices"),
    "Location": NP_("health record", "Clinics"),
    "Medication": NP_("health record", "Medicines"),
    "MedicationRequest": NP_("health record", "Prescriptions"),
    "Observation": NP_("health record", "Observations"),
    "Organization": NP_("health record", "Organizations"),
    "Patient": NP_("health record", "You"),
    "PaymentReconciliation": NP_("health record", "Payments"),
    "Practitioner": NP_("health record", "Doctors"),
    "PractitionerRole": NP_("health record", "Roles of doctors"),
    "Procedure": NP_("health record", "Procedures"),
    "RelatedPerson": NP_("health record", "Family"),
    "ServiceRequest": NP_("health record", "Tests and orders"),
}
_OTHER_TYPE = NP_("health record", "Other data")
_OTHER_ELEMENT = NP_("health record", "Other item")
_EXTENSIONS = {
    "account-status": NP_("health record", "Account"),
    "appointment-status": NP_("health record", "Status at the hospital"),
    "payment-method": NP_("health record", "Payment method"),
    "refund-status": NP_("health record", "Refund"),
    "timezone": NP_("health record", "Time zone"),
    "visit-status": NP_("health record", "Status at the hospital"),
}
_CHOICES = re.compile(
    "(?<=[a-z])(Age|Attachment|Boolean|CodeableConcept|Date|DateTime|Duration|Instant|Integer|Money|Period|PositiveInt|"
    "Quantity|Range|Ratio|Reference|SampledData|String|Time|Timing|UnsignedInt)$"
)
"""What the name of an element of several types ends in: valueQuantity is a value."""


def _lines(name: str) -> list[str]:
    text = files(__package__).joinpath("templates", name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def _elements() -> frozenset[str]:
    return frozenset(_lines("elements.txt"))


@cache
def _codes() -> Mapping[str, str]:
    return dict(line.split(":") for line in _lines("codes.txt"))


def listed() -> Iterator[tuple[str, str]]:
    """Yield the context and text of what stands in the lists, for the catalogues."""
    yield from ((_ELEMENT, name) for name in sorted(_elements()))
    yield from ((_code(code), text) for code, text in sorted(_codes().items()))


def label_of(name: str, language: Language) -> str:
    """Return one of the page's own texts."""
    return translated(_LABELS[name], language, _PAGE)


def type_name(name: str, language: Language) -> str:
    """Return what resources of a type are called."""
    if name not in _TYPES and language == SOURCE:
        return _plain(name)
    return translated(_TYPES.get(name, _OTHER_TYPE), language, _PAGE)


def element_name(name: str, language: Language) -> str:
    """Return what an element is called: in English its own name in words, in other languages a word of the list."""
    base = name if name in _elements() else _CHOICES.sub("", name)
    if language == SOURCE:
        return _plain(base)
    has_word = base in _elements()
    return _first_large(
        translated(base, language, _ELEMENT) if has_word else translated(_OTHER_ELEMENT, language, _PAGE)
    )


def extension_name(url: str, language: Language) -> str | None:
    """Return what an extension is called that says something to a person, or None."""
    name = _EXTENSIONS.get(url.rpartition("/")[2])
    return translated(name, language, _PAGE) if name else None


def code_name(code: str, language: Language) -> str | None:
    """Return what a code is called, or None where it has no name in the list."""
    name = _codes().get(code)
    return translated(name, language, _code(code)) if name else None


def _code(code: str) -> str:
    return f"code {code}"


def _plain(name: str) -> str:
    return _first_large(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _first_large(text: str) -> str:
    return text[:1].upper() + text[1:]
