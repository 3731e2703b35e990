"""Examples and formats for the OpenAPI description, made from its schemas: one sample for each name of a field.

A test holds each example to the model that the endpoint takes or answers with, so that none is out of date.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

_SAMPLES: Mapping[str, Any] = {
    "access_token": "hms_4Zt0r9c6o1QyVwXb",
    "address": "12 Ferry Street",
    "amount": 90.0,
    "appointment_date": "2026-03-09",
    "appointment_time": "14:30",
    "card_token": "tok_visa",
    "check_in_time": "2026-03-09T14:20:00-04:00",
    "check_out_time": "2026-03-09T15:05:00-04:00",
    "city": "Port Alder",
    "confirmation": "sent",
    "content_type": "application/pdf",
    "country": "US",
    "created_at": "2026-03-01T09:12:44.120Z",
    "currency": "USD",
    "current_password": "korrekt horse 42 staple",
    "current_wait_time": 20,
    "date_of_birth": "1988-11-02",
    "description": "Less salt, more walking; see you in six weeks.",
    "distance_km": 1.4,
    "dob": "2019-05-01",
    "document_type": "scan",
    "dosage": "10 mg",
    "duration": "7 days",
    "email": "ana@example.org",
    "end": "2026-03-09T15:00:00-04:00",
    "end_date": "2026-03-15",
    "estimated_start": "2026-03-09T14:40:00-04:00",
    "expires_in": 900,
    "file": "(the bytes of the file)",
    "file_url": "/history/documents/download?document_id=5c1d2f0e-3b7a-4c7e-9a43-0c54d1d1a111",
    "first_name": "Ana",
    "flag": "H",
    "frequency": "2x daily",
    "is_read": False,
    "issued_at": "2026-03-10T08:00:00Z",
    "language": "es",
    "last_name": "Ruiz",
    "latitude": 43.6591,
    "longitude": -70.2553,
    "medicine_name": "Lisinopril",
    "member_id": "M-1001",
    "message": "Your appointment with Dr Samuel Okpara at Harbour Clinic is booked for 9 March 2026.",
    "new_password": "another long phrase 7",
    "next": None,
    "next_available": "2026-03-09T14:30:00-04:00",
    "password": "korrekt horse 42 staple",
    "phone": "+12075550110",
    "photo": "https://img.example.org/okpara.png",
    "policy_number": "SOL-1",
    "postal_code": "04199",
    "profile_picture": "https://img.example.org/ana.png",
    "provider": "Solace Mutual",
    "queue_length": 2,
    "queue_position": 1,
    "reason": "Follow-up of blood pressure",
    "reference_range": "<=130",
    "refresh_token": "hmr_9sT1kQ0bB3",
    "result": "Slightly high",
    "scope": "patient/*.cruds offline_access",
    "service_date": "2026-03-09",
    "size": 48213,
    "start": "2026-03-09T14:30:00-04:00",
    "start_date": "2026-03-09",
    "state": "ME",
    "test_name": "Lipids",
    "timezone": "America/New_York",
    "title": "X-ray of the knee",
    "token": "Q2hlY2sgeW91ciBtYWls",
    "token_type": "Bearer",
    "total": 1,
    "transaction_id": "ch_1b7f0a",
    "type": "Appointment",
    "unit": "mg/dL",
    "unread": 1,
    "updated_at": "2026-03-01T09:12:44.120Z",
    "username": "ana@example.org",
    "valid_from": "2026-01-01",
    "valid_until": "2026-12-31",
    "value": "131.5",
    "verified": True,
}
"""By the names of fields; a field of a model is told apart as "Model.field"."""
_OF_MODELS: Mapping[str, Any] = {
    "AppointmentAnswer.follow_up_to": None,
    "AppointmentAnswer.refund_status": None,
    "HistoryAnswer.follow_up_to": None,
    "HistoryAnswer.refund_status": None,
    "ClinicAnswer.name": "Harbour Clinic",
    "ClinicAnswer.email": "harbour@example.org",
    "DoctorAnswer.email": "okpara@example.org",
    "DoctorAnswer.experience_years": 21,
    "DoctorAnswer.name": "Dr Samuel Okpara",
    "FamilyMemberAnswer.name": "Ada Ruiz",
    "MeasurementAnswer.name": "LDL cholesterol",
    "MemberChanges.name": "Ada Ruiz",
    "NewMember.name": "Ada Ruiz",
    "SpecialtyAnswer.name": "Cardiology",
    "VerificationAnswer.reason": "The policy is in force.",
    "LabTestAnswer.status": "completed",
    "PaymentAnswer.status": "completed",
    "LabPaymentAnswer.status": "completed",
    "PrescriptionAnswer.status": "active",
    "VisitAnswer.status": "in_queue",
}
_ONE_OF_BOTH: Mapping[str, str] = {"slot_id": "appointment_date"}
"""Fields of requests that stand for others: an example has the others."""
_FORMATS: Mapping[str, str] = {
    "email": "email",
    "file_url": "uri-reference",
    "photo": "uri",
    "profile_picture": "uri",
}
_TEXTS: Mapping[str, str] = {
    "text/html": '<!DOCTYPE html><html lang="en"><title>Your health record</title></html>',
    "text/calendar": "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:PUBLISH\r\nBEGIN:VEVENT\r\nUID:1@example.org\r\n"
    "DTSTART;TZID=America/New_York:20260309T143000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
}
_NAMESPACE = uuid.UUID("4a2f6f5e-7a7b-4b0c-9a55-5f0a4b8d1c11")
_JSON = frozenset({"application/json", "multipart/form-data"})


def add_examples(description: dict[str, Any]) -> None:
    """Give every body of the description an example, every parameter one, and what has a format its format."""
    schemas = description["components"]["schemas"]
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            _add_format(name, field)
    for path in description["paths"].values():
        for operation in path.values():
            _add_to(operation, schemas)


def _add_to(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if "example" not in parameter and "examples" not in parameter["schema"]:
            parameter["example"] = _of_parameter(parameter, schemas)
    bodies = [(operation.get("requestBody", {}), True)]
    bodies += [(response, False) for status, response in operation["responses"].items() if status < "300"]
    for body, is_request in bodies:
        for media_type, content in body.get("content", {}).items():
            if "example" in content or "examples" in content:
                continue
            if media_type in _JSON and content.get("schema", {}).get("format") != "binary":
                content["example"] = _Maker(schemas, is_request=is_request).of("", content.get("schema", {}))
            elif media_type in _TEXTS and content.get("schema", {}).get("format") != "binary":
                content["example"] = _TEXTS[media_type]


def _of_parameter(parameter: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    name = parameter["name"]
    own = {
        "cursor": "b2Zmc2V0OjIw.Zk3v",
        "distance_km": 5,
        "idempotency-key": "0d3c1f7e-booking-1",
        "last-event-id": "42",
        "near": "43.65,-70.25",
        "q": "harbour",
        "specialty": "Cardiology",
        "stripe-signature": "t=1772000000,v1=5257a8",
        "date": "2026-03-09",
    }
    return own.get(name.lower(), _Maker(schemas, is_request=True).of(name, parameter["schema"]))


def _add_format(name: str, field: dict[str, Any]) -> None:
    if name not in _FORMATS:
        return
    for option in field.get("anyOf", [field]):
        if option.get("type") == "string":
            option.setdefault("format", _FORMATS[name])


class _Maker:
    """Makes examples of schemas."""

    def __init__(self, schemas: Mapping[str, Any], *, is_request: bool) -> None:
        self._schemas = schemas
        self._is_request = is_request

    def of(self, name: str, schema: Mapping[str, Any], model: str = "") -> Any:
        """Return an example of the schema, of the field of that name in the model."""
        if f"{model}.{name}" in _OF_MODELS:
            return _OF_MODELS[f"{model}.{name}"]
        options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
        if options:
            return self.of(name, {**schema, **options[0], "anyOf": ()}, model)
        if "$ref" in schema:
            title = schema["$ref"].rpartition("/")[2]
            return self._object(self._schemas[title], title)
        for certain in ("const", "default"):
            if schema.get(certain) is not None:
                return schema[certain]
        if "enum" in schema:
            return _SAMPLES[name] if _SAMPLES.get(name) in schema["enum"] else schema["enum"][0]
        if schema.get("type") == "array":
            return [self.of("", schema.get("items", {}), model)]
        if schema.get("type") == "object":
            return self._object(schema, model)
        return self._plain(name, schema, model)

    def _plain(self, name: str, schema: Mapping[str, Any], model: str) -> Any:
        if name == "id" or (name.endswith("_id") and name not in _SAMPLES) or name in ("follow_up_to", "patient"):
            return str(uuid.uuid5(_NAMESPACE, f"{model.removesuffix('Answer').lower()}_id" if name == "id" else name))
        if name in _SAMPLES:
            return _SAMPLES[name]
        if schema.get("examples"):
            return schema["examples"][0]
        return {"integer": 1, "number": 1.5, "boolean": True}.get(schema.get("type", ""), "text")

    def _object(self, schema: Mapping[str, Any], title: str) -> Any:
        if schema.get("enum"):
            return schema["enum"][0]
        fields = schema.get("properties", {})
        left = {name for name, other in _ONE_OF_BOTH.items() if self._is_request and other in fields}
        return {name: self.of(name, field, title) for name, field in fields.items() if name not in left}
