"""Endpoints 14 to 17: clinics, specialties, doctors and their slots; open to all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fhir_server.engine.context import now
from fhir_server.hospital.api.caller import Server
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import VisitDate, Words
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.api.spans import Day, days_between
from fhir_server.hospital.catalogue.answers import ClinicAnswer, DoctorAnswer, SlotAnswer, SpecialtyAnswer
from fhir_server.hospital.catalogue.practices import Agenda, Practice, practices
from fhir_server.search.params.positions import kilometres
from fhir_server.search.params.strings import fold
from mappings.catalogue import clinics, specialties
from mappings.catalogue.clinics import Clinic
from mappings.shared import clinic_clock, reading

router = APIRouter(prefix="/booking", tags=["booking"])

_WINDOWS = (7, 31)
"""How many days are looked through for a doctor's next opening, a few first."""

FilterText = Annotated[Words | None, Query(max_length=200)]
OptionalId = Annotated[str | None, Query(max_length=64)]


# --- Clinics -----------------------------------------------------------------------------------------------------


@router.get("/clinics", responses=errors("bad_cursor", "validation_failed"))
async def list_clinics(
    server: Server,
    *,
    city: FilterText = None,
    specialty: FilterText = None,
    q: FilterText = None,
    near: FilterText = None,
    distance_km: Annotated[float | None, Query(gt=0, le=21_000)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[ClinicAnswer]:
    """Return the clinics, by name; with `near` the nearest first."""
    # The catalogue is read whole: texts are compared folded and in part, distances are told to the metre, and
    # Location.mode has no search parameter. It is as large as a hospital has clinics, doctors and specialties.
    place = _position(near)
    locations = await server.fhir().all("Location", [])
    offering = await _offering(server, specialty)
    listed = [
        item for item in locations.matches if _is_open_clinic(item) and (offering is None or item["id"] in offering)
    ]
    rows = [(clinics.from_fhir(item), item) for item in listed]
    chosen = [
        (row, _distance(place, row), item)
        for row, item in rows
        if _says(row.city, city, whole=True) and _says(_text_of(row), q)
    ]
    if place is not None:
        far = math.inf if distance_km is None else distance_km
        chosen = [each for each in chosen if each[1] is not None and each[1] <= far]
        chosen.sort(key=lambda each: (each[1], each[0].id))
    else:
        chosen.sort(key=lambda each: (fold(each[0].name or ""), each[0].id))
    page = page_of(server, "clinics", chosen, limit, cursor)
    created = await server.fhir().created(item for _, _, item in page.items)
    answers = [
        ClinicAnswer.of(clinics.from_fhir(item, created=created.get(item["id"])), distance_km=distance)
        for _, distance, item in page.items
    ]
    return Page(items=answers, total=page.total, next=page.next)


def _is_open_clinic(location: Mapping[str, Any]) -> bool:
    # A Location that is part of another is a ward or a room of it; a vehicle or a kind of place is no clinic either.
    return (
        location.get("status") != "inactive"
        and "partOf" not in location
        and location.get("mode", "instance") == "instance"
    )


def _text_of(row: Clinic) -> str:
    return " ".join(filter(None, (row.name, row.address, row.city, row.state, row.postal_code)))


async def _offering(server: FacadeServer, specialty: str | None) -> set[str] | None:
    """Return the ids of the clinics that offer the specialty, by its id or name; None where none was asked for."""
    if specialty is None:
        return None
    services = (await server.fhir().all("HealthcareService", [])).matches
    return {
        clinic_id
        for item in services
        if item.get("active") is not False
        and (item["id"] == specialty or fold(specialties.from_fhir(item).name or "") == fold(specialty))
        for reference in item.get("location", ())
        if (clinic_id := reading.reference_id(reference, "Location"))
    }


def _says(text: str | None, searched: str | None, *, whole: bool = False) -> bool:
    if searched is None:
        return True
    return fold(text or "") == fold(searched) if whole else fold(searched) in fold(text or "")


def _position(near: str | None) -> tuple[float, float] | None:
    if near is None:
        return None
    try:
        latitude, longitude = (float(part) for part in near.split(","))
    except ValueError as error:
        raise invalid("near", "near") from error
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise invalid("near", "near")
    return latitude, longitude


def _distance(place: tuple[float, float] | None, row: Clinic) -> float | None:
    if place is None or row.latitude is None or row.longitude is None:
        return None
    return round(kilometres(place, (float(row.latitude), float(row.longitude))), 3)


# --- Specialties -------------------------------------------------------------------------------------------------


@router.get("/specialties", responses=errors("bad_cursor", "not_found"))
async def list_specialties(
    server: Server, *, clinic_id: OptionalId = None, limit: Limit = 20, cursor: Cursor = None
) -> Page[SpecialtyAnswer]:
    """Return the specialties, of all clinics or of one, by name."""
    if clinic_id is not None:
        await _require(server, "Location", clinic_id)
    criteria = [("location", f"Location/{clinic_id}")] if clinic_id else []
    services = [
        item
        for item in (await server.fhir().all("HealthcareService", criteria)).matches
        if item.get("active") is not False
    ]
    rows = [
        (specialties.from_fhir(item, clinic_id=place), item)
        for item in services
        for place in ([clinic_id] if clinic_id else _places(item))
    ]
    rows.sort(key=lambda pair: (fold(pair[0].name or ""), pair[0].clinic_id or "", pair[0].id))
    page = page_of(server, "specialties", rows, limit, cursor)
    created = await server.fhir().created(item for _, item in page.items)
    answers = [
        SpecialtyAnswer.of(specialties.from_fhir(item, clinic_id=row.clinic_id, created=created.get(item["id"])))
        for row, item in page.items
    ]
    return Page(items=answers, total=page.total, next=page.next)


def _places(service: Mapping[str, Any]) -> list[str | None]:
    return [reading.reference_id(item, "Location") for item in service.get("location", ())] or [None]


async def _require(server: FacadeServer, resource_type: str, resource_id: str) -> dict[str, Any]:
    resource = await server.fhir().read(resource_type, resource_id)
    if resource is None:
        raise Problem("not_found")
    return resource


# --- Doctors -----------------------------------------------------------------------------------------------------


@router.get("/doctors", responses=errors("bad_cursor", "not_found", "validation_failed"))
async def list_doctors(
    server: Server,
    *,
    clinic_id: OptionalId = None,
    specialty_id: OptionalId = None,
    q: FilterText = None,
    date: Annotated[VisitDate | None, Query(description="Only doctors with a free slot that day.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DoctorAnswer]:
    """Return the doctors, once for each clinic they work at, by name."""
    for resource_type, resource_id in (("Location", clinic_id), ("HealthcareService", specialty_id)):
        if resource_id is not None:
            await _require(server, resource_type, resource_id)
    listed = await practices(server, clinic_id=clinic_id, specialty_id=specialty_id)
    named = [(item.row(specialty_id).name, item) for item in listed]
    chosen = [item for name, item in sorted(named, key=lambda pair: fold(pair[0] or "")) if _says(name, q)]
    if date is not None:
        agenda = await Agenda.of(server, chosen, date, date)
        chosen = [item for item in chosen if agenda.next_free(item, date, date, now())]
    page = page_of(server, "doctors", range(len(chosen)), limit, cursor)
    shown = [chosen[number] for number in page.items]
    free = await _next_available(server, shown)
    created = await server.fhir().created([item.practitioner for item in shown])
    answers = [
        DoctorAnswer.of(item.row(specialty_id, created.get(item.doctor_id)), next_available=free.get(number))
        for number, item in enumerate(shown)
    ]
    return Page(items=answers, total=page.total, next=page.next)


async def _next_available(server: FacadeServer, shown: list[Practice]) -> dict[int, datetime]:
    moment, starts = now(), dict[int, datetime]()
    first = moment.date() - timedelta(days=1)
    for width in _WINDOWS:
        rest = [number for number in range(len(shown)) if number not in starts]
        last = first + timedelta(days=width)
        agenda = await Agenda.of(server, [shown[number] for number in rest], first, last)
        for number in rest:
            start = agenda.next_free(shown[number], first, last, moment)
            if start is not None:
                starts[number] = start
    return starts


@router.get("/doctors/{doctor_id}/slots", responses=errors("bad_cursor", "not_found", "validation_failed"))
async def list_slots(
    doctor_id: str,
    server: Server,
    *,
    start: Annotated[Day, Query(alias="from")],
    end: Annotated[Day, Query(alias="to")],
    clinic_id: OptionalId = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[SlotAnswer]:
    """Return the doctor's slots, at most 31 days of them; one that has begun is busy."""
    await _require(server, "Practitioner", doctor_id)
    if clinic_id is not None:
        await _require(server, "Location", clinic_id)
    listed = await practices(server, doctor_id=doctor_id, clinic_id=clinic_id)
    slots: dict[tuple[datetime, str], SlotAnswer] = {}
    spans = {item.clinic_id: days_between(start, end, item.clock) for item in listed}
    days_between(start, end, clinic_clock.zone("UTC"))
    if listed:
        agenda = await Agenda.of(
            server, listed, min(span.first for span in spans.values()), max(span.last for span in spans.values())
        )
        for practice in listed:
            for slot in _slots(agenda, practice, spans[practice.clinic_id]):
                slots.setdefault((slot.start.astimezone(UTC), slot.id), slot)
    return page_of(server, "slots", [slots[key] for key in sorted(slots)], limit, cursor)


def _slots(agenda: Agenda, practice: Practice, span: Any) -> list[SlotAnswer]:
    moment = now()
    return [
        SlotAnswer(
            id=opening.id,
            start=opening.start.astimezone(practice.clock),
            end=opening.end.astimezone(practice.clock),
            status="busy" if opening.start <= moment else opening.status,
            clinic_id=practice.clinic_id,
        )
        for day in span.days
        for opening in agenda.openings(practice, day)
        if span.start <= opening.start < span.end
    ]
