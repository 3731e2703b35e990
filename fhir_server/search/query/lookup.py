"""Many conditions, looked up by an index entry: which of them does a resource meet?

Each condition stands under one set of features that a match must have one of, of those it requires the one with the
fewest others; only what requires nothing simple is tried on every entry of its type. Equal conditions are tried once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from fhir_server.search.query.conditions import Condition
from fhir_server.search.query.match import holds
from fhir_server.search.query.required import Feature, Required, features, required

T = TypeVar("T", bound=Hashable)

_Group = tuple[Condition, dict[T, None]]


class Lookup(Generic[T]):
    """What was added for one resource type, each with its condition."""

    def __init__(self) -> None:
        self._under: dict[Feature, dict[Hashable, _Group[T]]] = {}
        self._always: dict[Hashable, _Group[T]] = {}
        self._places: dict[T, tuple[Required | None, Hashable]] = {}
        self._items: Counter[Feature] = Counter()
        self._lengths: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, item: T, condition: Condition, name: Hashable, beside: Iterable[Condition] = ()) -> None:
        """Add an item; those of one `name` have the same condition.

        `beside` is what else a match must meet, which whoever asks decides: an item may stand under that.
        """
        self.remove(item)
        options = [*required(condition), *(option for each in beside for option in required(each))]
        place = min(options, key=self._crowd) if options else None
        self._places[item] = (place, name)
        for groups in self._groups(place):
            groups.setdefault(name, (condition, {}))[1][item] = None
        self._items.update(place or ())
        self._lengths.update(len(text) for kind, text in place or () if kind == "begins")

    def remove(self, item: T) -> None:
        """Take an item out, if it is in."""
        if item not in self._places:
            return
        place, name = self._places.pop(item)
        for groups in self._groups(place):
            _, items = groups[name]
            del items[item]
            if not items:
                del groups[name]
        for feature in place or ():
            self._items[feature] -= 1
            if not self._under[feature]:
                del self._under[feature], self._items[feature]
        self._lengths.subtract(len(text) for kind, text in place or () if kind == "begins")

    def _groups(self, place: Required | None) -> list[dict[Hashable, _Group[T]]]:
        if place is None:
            return [self._always]
        return [self._under.setdefault(feature, {}) for feature in place]

    def _crowd(self, place: Required) -> tuple[int, int]:
        """Return how many others stand under the features, and how many features there are."""
        return max((self._items[feature] for feature in place), default=0), len(place)

    def matches(
        self, entry: Mapping[str, Any], meets: Callable[[Condition, Mapping[str, Any]], bool] = holds
    ) -> Iterator[T]:
        """Yield the items whose condition the entry meets, each once."""
        tried: dict[Hashable, bool] = {}
        yielded: set[T] = set()
        for groups in self._candidates(entry):
            for name, (condition, items) in groups.items():
                if name not in tried:
                    tried[name] = meets(condition, entry)
                if tried[name]:
                    yield from (item for item in items if item not in yielded)
                    yielded.update(items)

    def _candidates(self, entry: Mapping[str, Any]) -> Iterator[dict[Hashable, _Group[T]]]:
        yield self._always
        lengths = [length for length, count in self._lengths.items() if count > 0]
        for feature in features(entry, lengths):
            groups = self._under.get(feature)
            if groups:
                yield groups
