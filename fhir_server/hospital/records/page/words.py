"""The words of a patient's record page: what resource types and elements are called in English and Spanish."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from mappings.notifications.messages import Language

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1b1b}"
    "article{border:1px solid #ccc;border-radius:.4rem;margin:.6rem 0;padding:.4rem .8rem}"
    "dl{display:grid;grid-template-columns:minmax(8rem,14rem) 1fr;gap:.1rem .8rem;margin:.2rem 0}"
    "dt{color:#555}dd{margin:0;overflow-wrap:anywhere;white-space:pre-line}"
)

_SAID = {
    "title": ("Your health record", "Su historia clínica"),
    "introduction": (
        "This is everything that is stored about you, with the files, which you can save from this page.",
        "Esto es todo lo que se guarda sobre usted, con los archivos, que puede guardar desde esta página.",
    ),
    "yes": ("yes", "sí"),
    "no": ("no", "no"),
    "download": ("Save the file", "Guardar el archivo"),
    "elsewhere": ("kept elsewhere", "guardado en otro lugar"),
    "somebody": ("another person", "otra persona"),
}

_TYPES = {
    "AllergyIntolerance": ("Allergies and intolerances", "Alergias e intolerancias"),
    "Appointment": ("Appointments", "Citas"),
    "Binary": ("Files", "Archivos"),
    "CarePlan": ("Treatment plans", "Planes de tratamiento"),
    "Claim": ("Insurance claims", "Reclamaciones al seguro"),
    "Communication": ("Notifications", "Notificaciones"),
    "Condition": ("Conditions", "Enfermedades"),
    "Consent": ("Consents", "Consentimientos"),
    "Coverage": ("Insurance policies", "Pólizas de seguro"),
    "CoverageEligibilityRequest": ("Insurance enquiries", "Consultas al seguro"),
    "CoverageEligibilityResponse": ("Answers of the insurance", "Respuestas del seguro"),
    "DiagnosticReport": ("Reports", "Informes"),
    "DocumentReference": ("Documents", "Documentos"),
    "Encounter": ("Visits", "Visitas"),
    "HealthcareService": ("Specialties", "Especialidades"),
    "Immunization": ("Vaccinations", "Vacunas"),
    "Invoice": ("Invoices", "Facturas"),
    "Location": ("Clinics", "Clínicas"),
    "Medication": ("Medicines", "Medicamentos"),
    "MedicationRequest": ("Prescriptions", "Recetas"),
    "Observation": ("Observations", "Observaciones"),
    "Organization": ("Organizations", "Organizaciones"),
    "Patient": ("You", "Usted"),
    "PaymentReconciliation": ("Payments", "Pagos"),
    "Practitioner": ("Doctors", "Médicos"),
    "PractitionerRole": ("Roles of doctors", "Funciones de los médicos"),
    "Procedure": ("Procedures", "Procedimientos"),
    "RelatedPerson": ("Family", "Familia"),
    "ServiceRequest": ("Tests and orders", "Pruebas y órdenes"),
}
_OTHER_TYPE = ("Other data", "Otros datos")
_OTHER_ELEMENT = "Otro dato"
_EXTENSIONS = {
    "account-status": ("Account", "Cuenta"),
    "appointment-status": ("Status at the hospital", "Estado en el hospital"),
    "payment-method": ("Payment method", "Forma de pago"),
    "refund-status": ("Refund", "Reembolso"),
    "timezone": ("Time zone", "Zona horaria"),
    "visit-status": ("Status at the hospital", "Estado en el hospital"),
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
def _elements() -> Mapping[str, str]:
    return {name: spanish for name, spanish in (line.split(":") for line in _lines("elements.es.txt"))}


@cache
def _codes() -> Mapping[str, tuple[str, str]]:
    return {code: (english, spanish) for code, english, spanish in (line.split(":") for line in _lines("codes.txt"))}


def said(name: str, language: Language) -> str:
    """Return one of the page's own texts."""
    return _SAID[name][language == "es"]


def type_name(name: str, language: Language) -> str:
    """Return what resources of a type are called."""
    if name not in _TYPES and language == "en":
        return _plain(name)
    return _TYPES.get(name, _OTHER_TYPE)[language == "es"]


def element_name(name: str, language: Language) -> str:
    """Return what an element is called: in English its own name in words, in Spanish a word of the list."""
    base = name if name in _elements() else _CHOICES.sub("", name)
    if language == "es":
        return _first_large(_elements().get(base, _OTHER_ELEMENT))
    return _plain(base)


def extension_name(url: str, language: Language) -> str | None:
    """Return what an extension is called that says something to a person, or None."""
    names = _EXTENSIONS.get(url.rpartition("/")[2])
    return names[language == "es"] if names else None


def code_name(code: str, language: Language) -> str | None:
    """Return what a code is called, or None where it has no name in the list."""
    names = _codes().get(code)
    return names[language == "es"] if names else None


def _plain(name: str) -> str:
    return _first_large(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _first_large(text: str) -> str:
    return text[:1].upper() + text[1:]
