"""What an evaluation works on: items, the scope of one evaluation, and the rules for single values."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from fhir_server.work.budget import spend

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.references import BundleEntries


class FhirPathError(ValueError):
    """An expression that is not FHIRPath, asks for what is not supported, or cannot be evaluated on its input."""


class TooCostly(FhirPathError):
    """An expression whose evaluation takes more steps than it may."""


class Item(NamedTuple):
    """One member of a collection.

    `type` is a FHIR type ("dateTime", "Period", "Patient", a backbone as "Patient.contact") or, within an evaluation,
    a System type ("System.Boolean"). `value` is the JSON value; None for a primitive that has only extensions.
    `extension` is the `_name` sibling of a primitive, an object with `id` and `extension`.
    """

    type: str
    value: Any
    extension: dict[str, Any] | None = None


Items: TypeAlias = list[Item]
# Building the tuple directly takes half the time of calling Item(...), and is the commonest act of all.
make: Callable[[type[Item], tuple[str, Any, dict[str, Any] | None]], Item] = tuple.__new__

# Shared by all evaluations: no function changes a collection that it was given or has returned.
EMPTY: Items = []
TRUE: Items = [Item("System.Boolean", True)]
FALSE: Items = [Item("System.Boolean", False)]


LONGEST = 1_000_000
"""Characters of a string that an expression puts together."""

_MOST_STEPS = 1_000_000
_REPORTED = 256


class Scope:
    """What one evaluation knows beside its focus: the environment variables, `$index`, `$total`, a budget.

    `row` is the `%rowIndex` of a view. The budget is the evaluation's own; what it takes of it is told to the
    request's budget, too.
    """

    __slots__ = ("_contained", "_report_at", "_steps", "bundle", "context", "index", "resource", "root", "row", "total")

    def __init__(self, context: Item, resource: dict[str, Any] | None, root: dict[str, Any] | None) -> None:
        self.context = context
        self.resource = resource
        self.root = root
        self.index = 0
        self.row = 0
        self.total: Items = EMPTY
        self.bundle: BundleEntries | None = None
        self._contained: dict[str, dict[str, Any]] | None = None
        self.limit(_MOST_STEPS)

    def contained(self, identifier: str) -> dict[str, Any] | None:
        """Return what the container, or else the resource itself, contains under an id; None where there is nothing."""
        if self._contained is None:
            self._contained = {}
            for holder in (self.root, self.resource):
                for each in _contained_in(holder):
                    self._contained.setdefault(each["id"], each)
        return self._contained.get(identifier)

    def limit(self, steps: int) -> None:
        """Set how many steps the evaluation may take from here."""
        self._steps = steps
        self._report_at = steps - _REPORTED

    def spend(self, steps: int) -> None:
        """Count steps of work; raise FhirPathError, or OutOfBudget for the request, where there are too many."""
        self._steps -= steps
        if self._steps < self._report_at:
            spend(self._report_at + _REPORTED - self._steps)
            self._report_at = self._steps - _REPORTED
            if self._steps < 0:
                raise TooCostly("The expression is too costly to evaluate.")


def _contained_in(holder: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the contained resources that have an id."""
    contained = None if holder is None else holder.get("contained")
    if not isinstance(contained, list):
        return []
    return [each for each in contained if isinstance(each, dict) and isinstance(each.get("id"), str)]


def weight(items: Items) -> int:
    """Return the steps that a look at the items is worth: one each, and more for a long string."""
    if len(items) == 1:
        value = items[0][1]
        return 1 + (len(value) >> 6) if value.__class__ is str else 1
    return len(items)


def boolean(value: bool | None) -> Items:
    """Return a truth value as a collection; unknown is the empty one."""
    if value is None:
        return EMPTY
    return TRUE if value else FALSE


def string(value: str) -> Items:
    """Return a collection of one System.String."""
    return [make(Item, ("System.String", value, None))]


def grown(value: str) -> Items:
    """Return a collection of one string put together from others; raise FhirPathError where it grew too long."""
    if len(value) > LONGEST:
        raise FhirPathError("A string grows too long.")
    return string(value)


def integer(value: int) -> Items:
    """Return a collection of one System.Integer."""
    return [make(Item, ("System.Integer", value, None))]


def number(value: Decimal) -> Items:
    """Return a collection of one System.Decimal."""
    return [make(Item, ("System.Decimal", value, None))]


def single(items: Items) -> Item | None:
    """Return the only item, None for an empty collection; raise FhirPathError for several."""
    if not items:
        return None
    if len(items) > 1:
        raise FhirPathError(f"One item was expected, not {len(items)}.")
    return items[0]


def truth(items: Items) -> bool | None:
    """Return a collection as a truth value: a single item that is no Boolean is true, an empty collection unknown.

    https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
    """
    item = single(items)
    if item is None:
        return None
    value = item.value
    if value is True or value is False:
        return bool(value)
    # A boolean element that has only an extension has no value to be true.
    return None if item.type == "boolean" else True


def text_of(items: Items) -> str | None:
    """Return the text of a single item; raise FhirPathError for an item that has none."""
    item = single(items)
    if item is None or item.value is None:
        return None
    if not isinstance(item.value, str):
        raise FhirPathError(f"A string was expected, not a {item.type}.")
    return item.value


def integer_of(items: Items) -> int | None:
    """Return a single item as a whole number; raise FhirPathError for an item that is none."""
    item = single(items)
    if item is None or item.value is None:
        return None
    if isinstance(item.value, bool) or not isinstance(item.value, int):
        raise FhirPathError(f"An integer was expected, not a {item.type}.")
    return item.value


def number_of(items: Items) -> Decimal | int | None:
    """Return a single item as a number; raise FhirPathError for an item that is none."""
    item = single(items)
    if item is None or item.value is None:
        return None
    if isinstance(item.value, bool) or not isinstance(item.value, int | Decimal):
        raise FhirPathError(f"A number was expected, not a {item.type}.")
    return item.value
