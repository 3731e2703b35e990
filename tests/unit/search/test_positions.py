"""Places on the globe and the cells that cover a circle."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.search.params import positions
from fhir_server.search.query.match import matches
from fhir_server.search.query.parse import parse

latitudes = st.floats(-90, 90).map(lambda value: round(value, 4))
longitudes = st.floats(-180, 180).map(lambda value: round(value, 4))
distances = st.sampled_from([0, 0.5, 5, 50, 500, 5000, 15000, 21000])


def location(latitude: float, longitude: float) -> dict[str, Any]:
    position = {"latitude": Decimal(str(latitude)), "longitude": Decimal(str(longitude))}
    return {"resourceType": "Location", "id": "1", "position": position}


def near(text: str) -> Any:
    return parse(("Location",), [("near", text)], strict=True)


@given(latitudes, longitudes, latitudes, longitudes, distances)
@example(89.9, 0.0, 89.9, 180.0, 50)
@example(0.0, 179.99, 0.0, -179.99, 5)
@example(-90.0, 0.0, -89.99, 77.0, 5)
def test_cells_hold_all_that_is_near(
    latitude: float, longitude: float, there: float, over: float, distance: float
) -> None:
    """Whatever is within the distance is in a cell that narrows the search, over the poles and the date line."""
    from fhir_server.search.index.index import index
    from fhir_server.search.query.conditions import Narrowed
    from fhir_server.search.query.match import holds

    condition = near(f"{latitude}|{longitude}|{distance}|km").condition("Location")
    assert isinstance(condition, Narrowed)
    entry = index(location(there, over))
    if holds(condition.test, entry):
        assert holds(condition.by, entry)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("52.52|13.405|10|km", True),
        ("52.52|13.405|1|km", False),
        ("52.52|13.405|7000|m", True),
        ("52.52|13.405|3|[mi_us]", False),
        ("52.52|13.405|5|[mi_us]", True),
        ("52.52|13.405", True),
    ],
)
def test_distances_have_units(text: str, result: bool) -> None:
    """A place 6.1 km away is near or not by the distance in its unit; without one it is 10 km."""
    assert matches(near(text), location(52.5, 13.4895)) is result


@pytest.mark.parametrize("text", ["1", "1|2|3|kg", "91|0", "0|181", "a|b", "1|2|-3", "1|2|3|km|5", "NaN|0"])
def test_what_is_no_place_is_refused(text: str) -> None:
    """A latitude, a longitude, a distance and a unit of length are needed."""
    from fhir_server.errors import BadRequest

    with pytest.raises(BadRequest, match="near"):
        near(text)


def test_kilometres_along_the_surface() -> None:
    """Distances hold from a metre to the other side of the globe."""
    metre = 180 / (math.pi * positions.EARTH_RADIUS_KM * 1000)
    assert positions.kilometres((40.0, 3.0), (40.0 + metre, 3.0)) == pytest.approx(0.001, rel=1e-6)
    assert positions.kilometres((0.0, -90.0), (0.0, 90.0)) == pytest.approx(math.pi * positions.EARTH_RADIUS_KM)
    assert positions.kilometres((40.0, 180.0), (40.0, -180.0)) == pytest.approx(0.0, abs=1e-9)
