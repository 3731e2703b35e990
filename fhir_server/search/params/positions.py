"""`Location?near`: by distance on the globe. https://hl7.org/fhir/R4/location.html#search

Keys: `near=` with the cell of the position, a text that halves the globe with each character, so that a cell holds
those that its text begins. The exact position is in `ranges`, as the point on the unit sphere: two points are as far
apart as the dot product says.
"""

from __future__ import annotations

import math
from decimal import Decimal

from fhir_server.r4 import ucum
from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import after_prefix
from fhir_server.search.params.decimals import number
from fhir_server.search.query.conditions import Condition, KeySpan, Narrowed, WithinDistance, either

EARTH_RADIUS_KM = 6371.0088
_DEFAULT_KM = 10.0
_DEPTH = 30
_MOST_CELLS = 16
Vector = tuple[float, float, float]


def vector(latitude: float, longitude: float) -> Vector:
    """Return the point on the unit sphere."""
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance of two places (latitude, longitude) along the earth's surface.

    By the chord between them, which is exact also for places a metre apart.
    """
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.dist(vector(*one), vector(*other)) / 2))


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the cell and the exact place of a position."""
    for item in items:
        value = item.value
        if isinstance(value, dict) and "latitude" in value and "longitude" in value:
            latitude, longitude = float(value["latitude"]), float(value["longitude"])
            if abs(latitude) <= 90 and abs(longitude) <= 180:
                x, y, z = vector(latitude, longitude)
                entry.keys.append(f"{name}={_cell(latitude, longitude)}")
                entry.ranges.setdefault(name, []).append({"x": x, "y": y, "z": z})


def _cell(latitude: float, longitude: float) -> str:
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    cell = ""
    for depth in range(_DEPTH):
        if depth % 2 == 0:
            middle = (west + east) / 2
            right = longitude >= middle
            west, east = (middle, east) if right else (west, middle)
            cell += "1" if right else "0"
        else:
            middle = (south + north) / 2
            above = latitude >= middle
            south, north = (middle, north) if above else (south, middle)
            cell += "1" if above else "0"
    return cell


def condition(name: str, parts: list[str]) -> Condition:
    """Return the condition of `latitude|longitude|distance|unit`; raises ValueError. Without a distance it is 10 km."""
    if not 2 <= len(parts) <= 4:
        raise ValueError("it is latitude|longitude|distance|unit")
    latitude, longitude = float(number(parts[0])), float(number(parts[1]))
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError("there is no such place on the globe")
    distance = _length_in_km(*parts[2:])
    angle = distance / EARTH_RADIUS_KM
    closeness = math.cos(angle) if angle < math.pi else -1.0
    test = WithinDistance(name, vector(latitude, longitude), closeness - 1e-15)
    cells = [f"{name}={cell}" for cell in covering(latitude, longitude, distance)]
    return Narrowed(test, either([KeySpan(cell, after_prefix(cell)) for cell in cells]))


def _length_in_km(distance: str = "", unit: str = "") -> float:
    if not distance:
        return _DEFAULT_KM
    amount = number(distance)
    if amount < 0:
        raise ValueError("a distance is not negative")
    canonical = ucum.canonical(unit or "km")
    if canonical is None or canonical.unit != "m":
        raise ValueError(f"{unit[:20]!r} is not a unit of length")
    return float(canonical.convert(amount) / Decimal(1000))


def covering(latitude: float, longitude: float, distance: float) -> list[str]:
    """Return cells that together hold every place within the distance; at most 16 of them, as small as that allows."""
    north = math.degrees(distance / EARTH_RADIUS_KM)
    south, top = latitude - north, latitude + north
    if south <= -90 or top >= 90:
        wide = 180.0
    else:
        # The widest meridians of a circle on the globe are not at its centre's latitude.
        ratio = math.sin(math.radians(min(north, 90))) / math.cos(math.radians(latitude))
        wide = 180.0 if ratio >= 1 else math.degrees(math.asin(ratio))
    cells = [""]
    for depth in range(_DEPTH):
        finer = [cell + half for cell in cells for half in "01"]
        finer = [cell for cell in finer if _overlaps(cell, (south, top), (longitude - wide, longitude + wide))]
        if len(finer) > _MOST_CELLS:
            break
        cells = finer
        if depth > 2 and len(cells) == 1 and distance == 0:
            continue
    return cells


def _overlaps(cell: str, latitudes: tuple[float, float], longitudes: tuple[float, float]) -> bool:
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    for depth, half in enumerate(cell):
        if depth % 2 == 0:
            middle = (west + east) / 2
            west, east = (middle, east) if half == "1" else (west, middle)
        else:
            middle = (south + north) / 2
            south, north = (middle, north) if half == "1" else (south, middle)
    if north < latitudes[0] or south > latitudes[1]:
        return False
    # A circle near the date line reaches over to the other side.
    return any(west + turn <= longitudes[1] and east + turn >= longitudes[0] for turn in (-360, 0, 360))
