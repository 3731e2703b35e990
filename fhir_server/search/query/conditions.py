"""What a search asks of a resource's index entry: the small language between parameter types and their readers.

Modules of `params/` turn a search value into a condition; `query` turns conditions into database filters and scans,
`match` decides them in memory on what `index` returns. Nothing here knows FHIR's parameter types or MongoDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Operator: TypeAlias = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class HasKey:
    """The resource has one of the keys; none at all matches nothing."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeySpan:
    """The resource has a key with low <= key < high that is none of `but`; `containing` must then stand in that key,
    between `low` and the separator.
    """

    low: str
    high: str
    containing: str = ""
    but: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InRange:
    """One of the parameter's stored ranges meets all tests, each of which compares a bound (`l` or `h`).

    `unit` is one of the spellings of the unit that the range carries.
    """

    name: str
    tests: tuple[tuple[Literal["l", "h"], Operator, str], ...]
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class WithinDistance:
    """One of the parameter's positions is near the centre: the dot product of the two is at least `closeness`."""

    name: str
    centre: tuple[float, float, float]
    closeness: float


@dataclass(frozen=True, slots=True)
class HasText:
    """One of the texts kept under the name contains another."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Concepts:
    """A token is in a value set, or above or below a code in its system: to be resolved by who knows code systems.

    `value` is the value set's URL, or `system|code`.
    """

    name: str
    relation: Literal["in", "above", "below"]
    value: str


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A reference leads to a resource above or below another, or to that itself: to be resolved by who knows them.

    `references` are `Type/id`, one for each type that the value may mean.
    """

    name: str
    relation: Literal["above", "below"]
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InTuple:
    """One of a composite parameter's stored tuples, each an index entry of its own, meets the condition."""

    name: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Present:
    """The resource has a value for the parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class HasId:
    """The logical id is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """`meta.lastUpdated` compares so with a time."""

    operator: Operator
    time: datetime


@dataclass(frozen=True, slots=True)
class Begins:
    """Beginnings, from `first` until before `until` (None: any later one), whose values meet a date condition for sure:
    values within a day, or of any width where `wide`.
    """

    first: str
    until: str | None
    wide: bool = True


@dataclass(frozen=True, slots=True)
class Window:
    """What one or several date conditions imply: a value that ends after `after` and begins before `before`.

    The other way round, `surely` implies the conditions, and so does any end after `ends`; None where nothing simple
    does.
    """

    name: str
    after: str | None
    before: str | None
    surely: Begins | None = None
    ends: str | None = None


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The condition `test`, with what it implies for keys: every match meets `by` (keys, spans, or any of such) too."""

    test: Condition
    by: Condition
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds; of none, anything."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds; of none, nothing."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class RefersTo:
    """A reference of the parameter leads to a live resource that meets the condition for its type (a chain).

    `contained` asks the same of what the resource contains; a `canonical` reference leads to what has the URL.
    """

    name: str
    targets: Mapping[str, Condition]
    canonical: bool = False
    contained: Condition | None = None


@dataclass(frozen=True, slots=True)
class ReferredBy:
    """A live resource of `source` meets the condition and refers to this one by its parameter `name` (`_has`)."""

    source: str
    name: str
    condition: Condition
    type: str
    """The type of this resource, as the reference spells it."""
    canonical: bool = False


Condition: TypeAlias = (
    HasKey
    | KeySpan
    | InRange
    | InTuple
    | HasText
    | Concepts
    | Hierarchy
    | WithinDistance
    | Present
    | HasId
    | Updated
    | Narrowed
    | All
    | AnyOf
    | Not
    | RefersTo
    | ReferredBy
)

NOTHING = AnyOf(())
EVERYTHING = All(())


def either(conditions: list[Condition]) -> Condition:
    """Return the condition that one of these holds, with equal kinds joined."""
    keys = tuple(dict.fromkeys(key for item in conditions if isinstance(item, HasKey) for key in item.keys))
    others: list[Condition] = [item for item in conditions if not isinstance(item, HasKey)]
    joined: list[Condition] = [HasKey(keys), *others] if keys else others
    return joined[0] if len(joined) == 1 else AnyOf(tuple(joined))


def leaves(condition: Condition) -> Iterator[Condition]:
    """Yield the conditions that are joined in one; what is asked of other resources is not looked into."""
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(inner) | Narrowed(inner, _):
            yield from leaves(inner)
        case _:
            yield condition


def every(conditions: list[Condition]) -> Condition:
    """Return the condition that all of these hold."""
    return conditions[0] if len(conditions) == 1 else All(tuple(conditions))
