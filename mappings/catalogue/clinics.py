"""Table `clinics`: a Location. https://hl7.org/fhir/R4/location.html"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import model_validator

from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Code, Number, Row, Text


class Clinic(Row):
    """A row of `clinics`, with the time zone of its clock."""

    name: Text | None = None
    address: Text | None = None
    city: Text | None = None
    state: Text | None = None
    country: Text | None = None
    postal_code: Text | None = None
    latitude: Number | None = None
    longitude: Number | None = None
    phone: Text | None = None
    email: Text | None = None
    timezone: Code | None = None

    @model_validator(mode="after")
    def _whole_position(self) -> Self:
        # Location.position has both, or is absent.
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude belong together")
        return self


def to_fhir(row: Clinic) -> dict[str, Any]:
    """Return the Location."""
    return elements.build(
        "Location",
        {
            "id": row.id,
            "meta": elements.meta("hms-clinic"),
            "extension": [elements.time_zone(row.timezone), *elements.row_extensions(row)],
            "status": "active",
            "name": row.name,
            "mode": "instance",
            "telecom": elements.telecom(row.phone, row.email, "work"),
            "address": _address(row),
            "position": {"longitude": row.longitude, "latitude": row.latitude},
        },
    )


def _address(row: Clinic) -> elements.Element:
    return {
        "line": [row.address],
        "city": row.city,
        "state": row.state,
        "postalCode": row.postal_code,
        "country": row.country,
    }


def _position(position: Resource) -> tuple[Decimal | None, Decimal | None]:
    """Return the latitude and the longitude; neither where it is no place on earth."""
    try:
        latitude, longitude = (Decimal(str(position.get(name))) for name in ("latitude", "longitude"))
    except ArithmeticError:
        return None, None
    if latitude.is_finite() and longitude.is_finite() and abs(latitude) <= 90 and abs(longitude) <= 180:
        return latitude, longitude
    return None, None


def from_fhir(location: Resource, *, created: datetime | None = None, deleted: datetime | None = None) -> Clinic:
    """Return the row that a Location is."""
    address, position = location.get("address", {}), location.get("position", {})
    latitude, longitude = _position(position)
    lines = ", ".join(line for line in address.get("line", ()) if line)
    return Clinic.read(
        location,
        name=location.get("name"),
        address=lines or address.get("text"),
        city=address.get("city"),
        state=address.get("state"),
        country=address.get("country"),
        postal_code=address.get("postalCode"),
        latitude=latitude,
        longitude=longitude,
        phone=reading.contact(location, "phone"),
        email=reading.contact(location, "email"),
        timezone=reading.time_zone(location),
        **reading.row_times(location, created, deleted),
    )
