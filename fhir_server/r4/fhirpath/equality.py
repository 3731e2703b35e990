"""When items are equal, equivalent or ordered. https://hl7.org/fhirpath/N1/#equality"""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from typing import Any

from fhir_server.r4.fhirpath import quantity, temporal
from fhir_server.r4.fhirpath.items import FhirPathError, Item, Items
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES
from fhir_server.work.budget import spend

_NUMBERS = ("Integer", "Decimal")
_MOMENTS = ("Date", "DateTime")


def equal(left: Items, right: Items) -> bool | None:
    """Return whether two collections are equal, in order; None where that cannot be known."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    verdict: bool | None = True
    for one, other in zip(left, right, strict=True):
        same = equal_items(one, other)
        if same is False:
            return False
        verdict = verdict if same else None
    return verdict


def equal_items(left: Item, right: Item) -> bool | None:
    """Return whether two items are equal; None where precision, units or a missing value leave it open."""
    one, other = SYSTEM_TYPES.get(left.type), SYSTEM_TYPES.get(right.type)
    if one is None or other is None:
        return one is other and bool(left.value == right.value)
    if left.value is None or right.value is None:
        return None
    if one == other == "Quantity":
        return _equal_quantities(left.value, right.value)
    if one in _MOMENTS or one == "Time":
        if one != other and other not in _MOMENTS:
            return False
        order = _order_moments(left, right)
        return None if order is None else order == 0
    if one == other or (one in _NUMBERS and other in _NUMBERS):
        return bool(left.value == right.value)
    return False


def equivalent(left: Items, right: Items) -> bool:
    """Return whether two collections hold equivalent items, in any order."""
    if len(left) != len(right):
        return False
    unmatched = list(right)
    for item in left:
        spend(len(unmatched))
        for at, other in enumerate(unmatched):
            if equivalent_items(item, other):
                del unmatched[at]
                break
        else:
            return False
    return True


def equivalent_items(left: Item, right: Item) -> bool:
    """Return whether two items mean the same: case, white space and trailing precision aside."""
    one, other = SYSTEM_TYPES.get(left.type), SYSTEM_TYPES.get(right.type)
    if one is None or other is None or left.value is None or right.value is None:
        return one == other and _loosely(left.value) == _loosely(right.value)
    if one == other == "String":
        return _folded(left.value) == _folded(right.value)
    if one in _NUMBERS and other in _NUMBERS:
        return _equivalent_numbers(left.value, right.value)
    if one == other == "Quantity":
        return _equivalent_quantities(left.value, right.value)
    return equal_items(left, right) is True


def order(left: Item, right: Item) -> int | None:
    """Return -1, 0 or 1 as the left item is less, equal or greater; None where that is open.

    Raises FhirPathError for types that have no order between them.
    """
    if left.value is None or right.value is None:
        return None
    one, other = SYSTEM_TYPES.get(left.type), SYSTEM_TYPES.get(right.type)
    if (one in _NUMBERS and other in _NUMBERS) or one == other == "String":
        return -1 if left.value < right.value else int(left.value > right.value)
    if (one in _MOMENTS and other in _MOMENTS) or one == other == "Time":
        return _order_moments(left, right)
    if one == other == "Quantity":
        return _order_quantities(left.value, right.value)
    raise FhirPathError(f"A {left.type} cannot be compared with a {right.type}.")


def identity(item: Item) -> Hashable:
    """Return a key that is the same for equal items, so that a collection becomes distinct in linear time."""
    kind = SYSTEM_TYPES.get(item.type)
    if kind is None or item.value is None:
        return ("", frozen(item.value), frozen(item.extension))
    if kind in _NUMBERS:
        return ("number", item.value)
    if kind in _MOMENTS or kind == "Time":
        moment = Temporal.parse(item.type, item.value)
        return (kind == "Time", item.value if moment is None else (moment.comparable(), moment.offset is None))
    if kind == "Quantity":
        exact = quantity.canonical(item.value)
        return ("quantity", frozen(item.value) if exact is None else exact)
    return (kind, item.value)


def frozen(value: Any) -> Hashable:
    """Return a JSON value as a hashable one: equal values give equal results."""
    if isinstance(value, dict):
        return frozenset((key, frozen(member)) for key, member in value.items())
    if isinstance(value, list):
        return tuple(frozen(member) for member in value)
    return (isinstance(value, bool), value)


def distinct(items: Items) -> Items:
    """Return the items without repetitions, each where it stood first."""
    if len(items) < 2:
        return items
    first: dict[Hashable, Item] = {}
    for item in items:
        first.setdefault(identity(item), item)
    return list(first.values())


def _order_moments(left: Item, right: Item) -> int | None:
    one, other = Temporal.parse(left.type, left.value), Temporal.parse(right.type, right.value)
    return None if one is None or other is None else temporal.compare(one, other)


def _equal_quantities(left: dict[str, Any], right: dict[str, Any]) -> bool | None:
    sign = _order_quantities(left, right)
    return None if sign is None else sign == 0


def _order_quantities(left: dict[str, Any], right: dict[str, Any]) -> int | None:
    one, other = quantity.canonical(left), quantity.canonical(right)
    if one is None or other is None or one[1] != other[1]:
        return None
    return -1 if one[0] < other[0] else int(one[0] > other[0])


def _equivalent_quantities(left: dict[str, Any], right: dict[str, Any]) -> bool:
    one, other = quantity.canonical(left), quantity.canonical(right)
    if one is None or other is None:
        return left == right
    if quantity.equivalent_unit(one[1]) != quantity.equivalent_unit(other[1]):
        return False
    # Converted to the unit of the coarser value, so that its precision decides: 4 g ~ 4040 mg.
    places = max(_last_place(left["value"], one[0]), _last_place(right["value"], other[0]))
    return abs(one[0] - other[0]) <= Decimal(1).scaleb(places) / 2


def _last_place(written: Decimal | int, canonical: Decimal) -> int:
    exponent = Decimal(written).as_tuple().exponent
    shift = canonical.adjusted() - Decimal(written).adjusted() if written else 0
    return int(exponent) + shift


def _equivalent_numbers(left: Decimal | int, right: Decimal | int) -> bool:
    one, other = Decimal(left), Decimal(right)
    places = max(int(one.as_tuple().exponent), int(other.as_tuple().exponent))
    return round(one, -places) == round(other, -places)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _loosely(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset((key, _loosely(member)) for key, member in value.items() if key != "id")
    if isinstance(value, list):
        return frozenset(_loosely(member) for member in value)
    return _folded(value) if isinstance(value, str) else (isinstance(value, bool), value)
