"""The words of a patient's record page: what resource types and elements are called in English and Spanish."""

from __future__ import annotations

import re

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
_ELEMENTS_ES = {
    "active": "activo", "actor": "quién", "address": "dirección", "amount": "importe", "appointment": "cita",
    "authoredOn": "escrita el", "basedOn": "según", "birthDate": "fecha de nacimiento", "category": "categoría",
    "city": "ciudad", "class": "clase", "code": "qué", "communication": "idiomas", "conclusion": "conclusión",
    "content": "contenido", "context": "contexto", "country": "país", "created": "creado", "date": "fecha",
    "description": "descripción", "display": "nombre", "dosageInstruction": "dosis", "doseAndRate": "cantidad",
    "effectiveDateTime": "fecha", "encounter": "visita", "end": "fin", "gender": "sexo", "identifier": "número",
    "intent": "intención", "issued": "emitido", "language": "idioma", "line": "calle", "location": "lugar",
    "medicationCodeableConcept": "medicamento", "name": "nombre", "note": "nota", "outcome": "resultado",
    "participant": "participantes", "patient": "paciente", "payload": "mensaje", "payor": "aseguradora",
    "performer": "realizado por", "period": "periodo", "photo": "foto", "postalCode": "código postal",
    "priority": "prioridad", "reasonCode": "motivo", "received": "leído", "recipient": "destinatario",
    "relationship": "relación", "result": "resultado", "sent": "enviado", "slot": "hora", "start": "inicio",
    "state": "provincia", "status": "estado", "subject": "paciente", "telecom": "contacto", "timing": "cuándo",
    "title": "título", "topic": "asunto", "total": "total", "totalGross": "total", "totalNet": "total neto",
    "type": "tipo", "url": "dirección", "use": "uso", "value": "valor",
}  # fmt: skip


def said(name: str, language: Language) -> str:
    """Return one of the page's own texts."""
    return _SAID[name][language == "es"]


def name_of(name: str, language: Language) -> str:
    """Return what a resource type or an element is called; in plain words where no better ones are known."""
    if name in _TYPES:
        return _TYPES[name][language == "es"]
    found = _ELEMENTS_ES.get(name) if language == "es" else None
    words = found or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return words[:1].upper() + words[1:]
