"""FHIR search as the specification tells it, decided on whole resources in memory, without an index.

Slow and plain on purpose, and independent of `fhir_server.search`: the server must give the same answers. Only FHIRPath is
shared, which has tests of its own. https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.r4.definitions import SearchParameter, search_parameters, table
from fhir_server.r4.fhirpath import Item, compile_path

Resource = Mapping[str, Any]
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@dataclass(frozen=True)
class World:
    """Everything there is: all resources, the zone of times without an offset, and the time now."""

    resources: Sequence[Resource]
    zone: str
    now: datetime

    def find(self, reference: str) -> Resource | None:
        """Return the resource that a relative reference leads to."""
        for each in self.resources:
            if f"{each['resourceType']}/{each['id']}" == reference:
                return each
        return None


def search(world: World, resource_type: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ids of the resources of a type that meet all parameters, sorted."""
    pairs = list(pairs)
    found = [each for each in world.resources if each["resourceType"] == resource_type]
    return sorted(each["id"] for each in found if all(meets(world, each, name, value) for name, value in pairs))


def meets(world: World, resource: Resource, name: str, value: str) -> bool:
    """Return whether a resource meets one parameter."""
    if name.startswith("_has:"):
        return _has(world, resource, name, value)
    head, dot, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if dot:
        return _chain(world, resource, code, modifier, rest, value)
    if code == "_id":
        return resource["id"] in value.split(",")
    definition = parameter(resource["resourceType"], code)
    items = elements(resource, definition)
    if modifier == "missing":
        return (not any(has_content(item) for item in items)) is (value == "true")
    if modifier == "not":
        return not any(_one(world, resource, definition, items, "", each) for each in split(value, ","))
    return any(_one(world, resource, definition, items, modifier, each) for each in split(value, ","))


def parameter(resource_type: str, code: str) -> SearchParameter:
    """Return the official parameter of a type."""
    bases, name = set(), resource_type
    while name:
        bases.add(name)
        name = table(name).base or ""
    return next(each for each in search_parameters() if each.code == code and bases & set(each.base))


def elements(resource: Resource, definition: SearchParameter) -> list[Item]:
    """Return what the parameter's expression finds in a resource."""
    return list(compile_path(definition.expression, resource["resourceType"])(dict(resource)))


def has_content(item: Item) -> bool:
    """Return whether an element says something, not only extensions."""
    if isinstance(item.value, dict):
        return bool(set(item.value) - {"id", "extension"})
    return item.value is not None


def split(text: str, separator: str, most: int = -1) -> list[str]:
    """Return the parts between separators without a backslash before them."""
    parts = re.split(rf"(?<!\\)((?:\\\\)*){re.escape(separator)}", text)
    joined = ["".join(parts[position : position + 2]) for position in range(0, len(parts), 2)]
    if most >= 0 and len(joined) > most + 1:
        joined[most:] = [separator.join(joined[most:])]
    return joined


def plain(text: str) -> str:
    """Return the text without its escapes."""
    return re.sub(r"\\([,|$\\])", r"\1", text)


def _one(
    world: World, resource: Resource, definition: SearchParameter, items: Sequence[Item], modifier: str, value: str
) -> bool:
    match definition.type:
        case "composite":
            return any(_composite(world, resource, definition, item, value) for item in items)
        case "string":
            return any(_string(text, modifier, plain(value)) for item in items for text in texts(item))
        case "token":
            return any(_token(item, modifier, value) for item in items)
        case "reference":
            return any(_reference(item, definition, modifier, value) for item in items)
        case "uri":
            return any(_uri(item.value, modifier, plain(value)) for item in items if isinstance(item.value, str))
        case "date":
            return any(_date(world, span, plain(value)) for item in items for span in spans(item, world.zone))
        case "number":
            return any(_number(interval, plain(value)) for item in items for interval in intervals(item))
        case "quantity":
            return any(_quantity(item, value) for item in items)
    raise NotImplementedError(definition.type)


# --- Chains ------------------------------------------------------------------------------------------------------


def _chain(world: World, resource: Resource, code: str, target: str, rest: str, value: str) -> bool:
    for item in elements(resource, parameter(resource["resourceType"], code)):
        reference = item.value.get("reference", "") if isinstance(item.value, dict) else ""
        found = world.find(reference.partition("/_history/")[0])
        if found is None or (target and found["resourceType"] != target):
            continue
        try:
            if meets(world, found, rest, value):
                return True
        except StopIteration:
            continue
    return False


def _has(world: World, resource: Resource, name: str, value: str) -> bool:
    _, source, code, rest = name.split(":", 3)
    wanted = f"{resource['resourceType']}/{resource['id']}"
    for each in world.resources:
        if each["resourceType"] == source and meets(world, each, rest, value):
            for item in elements(each, parameter(source, code)):
                if item.value.get("reference", "").partition("/_history/")[0] == wanted:
                    return True
    return False


# --- Strings -----------------------------------------------------------------------------------------------------

_PARTS = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
}


def texts(item: Item) -> list[str]:
    """Return the texts of an element that a string search looks at."""
    if isinstance(item.value, str):
        return [item.value]
    found: list[str] = []
    for part in _PARTS.get(item.type, ("text",)):
        value = (item.value or {}).get(part, [])
        found += [value] if isinstance(value, str) else [each for each in value if each]
    return found


def folded(text: str) -> str:
    """Return a text as people compare texts: no case, no accents, no punctuation."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = ""
    for letter in letters:
        category = unicodedata.category(letter)
        if letter in "'’ʼ`´.":
            continue
        if category.startswith(("P", "S", "Z", "C")):
            kept += " "
        elif not category.startswith("M"):
            kept += letter
    return " ".join(unicodedata.normalize("NFC", kept.casefold()).split()) or " ".join(text.casefold().split())


def _string(text: str, modifier: str, value: str) -> bool:
    if modifier == "exact":
        return text == value
    if modifier == "contains":
        return folded(value) in folded(text)
    return folded(text).startswith(folded(value))


# --- Tokens ------------------------------------------------------------------------------------------------------

CASELESS = ("http://loinc.org", "urn:ietf:bcp:47")


def codes(item: Item) -> list[tuple[str, str | None]]:
    """Return the (system, code) pairs of an element."""
    value = item.value
    if isinstance(value, bool):
        return [("", "true" if value else "false")]
    if isinstance(value, str):
        return [("", value)]
    if item.type == "CodeableConcept":
        return [(each.get("system", ""), each.get("code")) for each in value.get("coding", ())]
    if item.type in ("Identifier", "ContactPoint"):
        return [(value.get("system", ""), value.get("value"))]
    return [(value.get("system", ""), value.get("code"))] if isinstance(value, dict) else []


def _token(item: Item, modifier: str, value: str) -> bool:
    if modifier == "text":
        return any(folded(text).startswith(folded(plain(value))) for text in _displays(item))
    if modifier == "of-type":
        system, code, number = (plain(part) for part in split(value, "|", 2))
        types = (item.value.get("type") or {}).get("coding", ()) if isinstance(item.value, dict) else ()
        kinds = [(each.get("system", ""), each.get("code")) for each in types]
        return (system, code) in kinds and item.value.get("value") == number
    parts = [plain(part) for part in split(value, "|", 1)]
    return any(_same_code(system, code, parts) for system, code in codes(item))


def _same_code(system: str, code: str | None, parts: list[str]) -> bool:
    caseless = system in CASELESS
    wanted = parts[-1].casefold() if caseless else parts[-1]
    own = code.casefold() if caseless and code is not None else code
    if len(parts) == 1:
        return own == wanted
    return system == parts[0] and (parts[1] == "" or own == wanted)


def _displays(item: Item) -> list[str]:
    value = item.value if isinstance(item.value, dict) else {}
    if item.type == "CodeableConcept":
        found = [value.get("text"), *(each.get("display") for each in value.get("coding", ()))]
    elif item.type == "Identifier":
        found = [(value.get("type") or {}).get("text")]
    else:
        found = [value.get("display")]
    return [text for text in found if text]


# --- References and URIs -----------------------------------------------------------------------------------------


def _reference(item: Item, definition: SearchParameter, modifier: str, text: str) -> bool:
    own = item.value if isinstance(item.value, str) else item.value.get("reference", "")
    if modifier == "identifier":
        identifier = item.value.get("identifier") if isinstance(item.value, dict) else None
        return identifier is not None and _token(Item("Identifier", identifier), "", text)
    value = plain(text)
    unversioned = own.partition("/_history/")[0]
    if re.fullmatch(r"[A-Za-z0-9.-]+", value):
        return unversioned in [f"{target}/{value}" for target in ([modifier] if modifier else definition.target)]
    if modifier and f"{modifier}/" not in value:
        return False
    return value in (own, unversioned)


def _uri(own: str, modifier: str, value: str) -> bool:
    if modifier == "below":
        return own == value or own.startswith(value if value.endswith("/") else f"{value}/")
    if modifier == "above":
        return own == value or value.startswith(own if own.endswith("/") else f"{own}/")
    return own == value


# --- Dates -------------------------------------------------------------------------------------------------------

Span = tuple[datetime, datetime]
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def date_span(text: str, zone: str) -> Span:
    """Return the time that a date or time leaves open, the end not included."""
    digits = [int(part) for part in re.findall(r"\d+", re.sub(r"(Z|[+-]\d\d:\d\d)$", "", text[10:]) or "")]
    day = [int(part) for part in text[:10].split("-")]
    start = datetime(*(day + [1, 1])[:3])
    if len(day) == 1:
        end = datetime(day[0] + 1, 1, 1)
    elif len(day) == 2:
        end = datetime(day[0] + day[1] // 12, day[1] % 12 + 1, 1)
    elif not digits:
        end = start + timedelta(days=1)
    else:
        start += timedelta(hours=digits[0], minutes=digits[1], seconds=digits[2] if len(digits) > 2 else 0)
        end = start + (timedelta(seconds=1) if len(digits) > 2 else timedelta(minutes=1))
    if len(digits) > 3:
        fraction = re.search(r"\.(\d+)", text)[1]  # type: ignore[index]
        start += timedelta(seconds=float(f"0.{fraction}"))
        end = start + timedelta(seconds=10 ** -len(fraction))
    offset = re.search(r"([+-])(\d\d):(\d\d)$", text[10:])
    if offset:
        shift = timedelta(hours=int(offset[2]), minutes=int(offset[3])) * (1 if offset[1] == "+" else -1)
        return (start - shift).replace(tzinfo=UTC), (end - shift).replace(tzinfo=UTC)
    place = UTC if text.endswith("Z") else ZoneInfo(zone)
    return start.replace(tzinfo=place).astimezone(UTC), end.replace(tzinfo=place).astimezone(UTC)


def spans(item: Item, zone: str) -> list[Span]:
    """Return the times of a date, time, Period or Timing."""
    value = item.value
    if isinstance(value, str):
        return [date_span(value, zone)]
    if item.type == "Period" and ("start" in value or "end" in value):
        low = date_span(value["start"], zone)[0] if "start" in value else FIRST
        return [(low, date_span(value["end"], zone)[1] if "end" in value else LAST)]
    return []


def _date(world: World, own: Span, value: str) -> bool:
    prefix, text = (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
    low, high = date_span(text, world.zone)
    inside = low <= own[0] and own[1] <= high
    match prefix:
        case "eq":
            return inside
        case "ne":
            return not inside
        case "gt":
            return own[1] > high
        case "lt":
            return own[0] < low
        case "ge":
            return own[1] > high or inside
        case "le":
            return own[0] < low or inside
        case "sa":
            return own[0] >= high
        case "eb":
            return own[1] <= low
    gap = max(low - world.now, world.now - high, timedelta(0)) / 10
    return own[0] < high + gap and own[1] > low - gap


# --- Numbers and quantities --------------------------------------------------------------------------------------

Interval = tuple[Decimal, Decimal]
MANY = Decimal(10) ** 30


def number_of(quantity: Mapping[str, Any] | None) -> Decimal | None:
    """Return the number in a quantity."""
    return Decimal(quantity["value"]) if quantity and "value" in quantity else None


def intervals(item: Item) -> list[Interval]:
    """Return the numbers that an element stands for, both ends included."""
    value = item.value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return [(Decimal(value), Decimal(value))]
    if item.type == "Range":
        low, high = number_of(value.get("low")), number_of(value.get("high"))
        return [(-MANY if low is None else low, MANY if high is None else high)] if (low, high) != (None, None) else []
    number = number_of(value)
    if number is None:
        return []
    comparator = value.get("comparator", "")
    return [(-MANY if "<" in comparator else number, MANY if ">" in comparator else number)]


def written_span(text: str) -> Interval:
    """Return the numbers that round to the written one; the end is not included."""
    exponent = int(Decimal(text).as_tuple().exponent)
    half = Decimal(5).scaleb(exponent - 1)
    return Decimal(text) - half, Decimal(text) + half


def _number(own: Interval, value: str) -> bool:
    prefix, text = (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
    number = Decimal(text)
    low, high = written_span(text)
    tenth = abs(number) / 10
    return _compare(own, prefix, number, (low, high), (min(low, number - tenth), max(high, number + tenth)))


def _compare(own: Interval, prefix: str, number: Decimal, written: Interval, about: Interval) -> bool:
    inside = written[0] <= own[0] and own[1] < written[1]
    match prefix:
        case "eq":
            return inside
        case "ne":
            return not inside
        case "gt":
            return own[1] > number
        case "lt":
            return own[0] < number
        case "ge":
            return own[1] >= number
        case "le":
            return own[0] <= number
        case "sa":
            return own[0] > number
        case "eb":
            return own[1] < number
    return own[0] <= about[1] and own[1] >= about[0]


UCUM = "http://unitsofmeasure.org"
UNITS = {
    "kg": ("g", Decimal(1000), Decimal(0)),
    "g": ("g", Decimal(1), Decimal(0)),
    "mg": ("g", Decimal("0.001"), Decimal(0)),
    "Cel": ("K", Decimal(1), Decimal("273.15")),
    "K": ("K", Decimal(1), Decimal(0)),
}
"""Units of UCUM: the one they are measured in, how much of it they are, and what is added."""


def _quantity(item: Item, value: str) -> bool:
    number, *unit = (plain(part) for part in split(value, "|", 2))
    amounts = intervals(item)
    if not amounts:
        return False
    own = _unit(item)
    if not unit:
        return _number(amounts[0], number)
    system, code = unit
    if not system:
        return code in (own.get("code"), own.get("unit")) and _number(amounts[0], number)
    if own.get("system") != system:
        return False
    if system == UCUM and code in UNITS and own.get("code") in UNITS:
        return _in_base_units(amounts[0], own["code"], number, code)
    return own.get("code") == code and _number(amounts[0], number)


def _unit(item: Item) -> Mapping[str, Any]:
    return (item.value.get("low") or item.value.get("high") or {}) if item.type == "Range" else item.value


def _in_base_units(own: Interval, own_code: str, value: str, code: str) -> bool:
    if UNITS[own_code][0] != UNITS[code][0]:
        return False
    prefix, text = (value[:2], value[2:]) if value[:2] in PREFIXES else ("eq", value)
    number, written = Decimal(text), written_span(text)
    tenth = abs(number) / 10
    about = (min(written[0], number - tenth), max(written[1], number + tenth))

    def base(amount: Decimal, unit: str) -> Decimal:
        return amount if abs(amount) == MANY else amount * UNITS[unit][1] + UNITS[unit][2]

    def both(interval: Interval, unit: str) -> Interval:
        return base(interval[0], unit), base(interval[1], unit)

    return _compare(both(own, own_code), prefix, base(number, code), both(written, code), both(about, code))


# --- Composites --------------------------------------------------------------------------------------------------


def _composite(world: World, resource: Resource, definition: SearchParameter, item: Item, value: str) -> bool:
    by_url = {each.url: each for each in search_parameters()}
    for component, part in zip(definition.component, split(value, "$"), strict=True):
        found = list(compile_path(component.expression, item.type)(item.value, dict(resource)))
        if not _one(world, resource, by_url[component.definition], found, "", part):
            return False
    return True
