"""Loading one part: its units as transactions, and where one is refused, what can be saved of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fhir_server.engine.context import instant, now
from fhir_server.engine.loading.parts import Part
from fhir_server.engine.loading.units import Entry, Unit, Unreadable, Write, units, write_by_id
from fhir_server.r4 import values

RETRIED = frozenset({409, 412, 429, 503})
"""Statuses that may be others once everything else is loaded: above all, a conditional reference that found nothing."""

_TROUBLED = frozenset({429, 503})
"""Statuses that say nothing about what was sent: the rest of the part waits for a later try."""

_POSITION = re.compile(r"Bundle\.entry\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not loaded, and why."""

    file: str
    place: str
    """Within the file: "line 7", "entry[3]", or empty for the whole of it."""
    resources: tuple[str, ...]
    """Types of the resources that this concerns."""
    status: int
    issues: list[dict[str, Any]]


@dataclass(slots=True)
class Loaded:
    """What became of a part."""

    part: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many resources of a type were created, updated, unchanged or deleted."""
    skipped: Counter[str] = field(default_factory=Counter)
    """How many resources of a type were loaded already."""
    refusals: list[Refusal] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """What is now loaded; with the key of the part where that is complete."""


class Refused(Exception):
    """A transaction was not taken; nothing of it is stored."""

    def __init__(self, status: int, issues: list[dict[str, Any]]) -> None:
        super().__init__(status)
        self.status = status
        self.issues = issues


class Target(Protocol):
    """Takes transactions."""

    async def transaction(self, entries: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Carry out the entries as a transaction that is recorded under the keys; raises Refused.

        Returns the entries of the transaction-response.
        """

    async def record(self, keys: list[str]) -> None:
        """Record keys without a transaction, where the target keeps a record."""


async def load_into(connected: Target, part: Part, loaded: frozenset[str], write: Write = write_by_id) -> Loaded:
    """Load what a part holds into the target, except what is loaded already.

    `write` makes the entry that stores a resource of its own.
    """
    return await _Loading(part, loaded, connected, write).run()


class _Loading:
    """One part on its way."""

    def __init__(self, part: Part, loaded: frozenset[str], connected: Target, write: Write) -> None:
        self.part = part
        self.write = write
        self.already_loaded = loaded
        self.target = connected
        self.loaded = Loaded(part.key)
        self.trouble: Refused | None = None

    async def run(self) -> Loaded:
        for number, unit in enumerate(units(self.part, self.write)):
            if isinstance(unit, Unreadable):
                issues = [issue.to_fhir() for issue in unit.error.issues]
                self._refuse(unit.place, (), Refused(unit.error.status, issues))
            elif unit.whole:
                await self._whole(unit)
            else:
                await self._separable(unit, f"{self.part.key}/{number}")
        if not self.loaded.refusals and self.part.key not in self.loaded.keys:
            await self.target.record([self.part.key])
            self.loaded.keys.append(self.part.key)
        return self.loaded

    async def _whole(self, unit: Unit) -> None:
        try:
            await self._send(unit.entries, [self.part.key])
        except Refused as refused:
            self._refuse("", tuple(_type(entry) for entry in unit.entries), refused)

    async def _separable(self, unit: Unit, key: str) -> None:
        if key in self.already_loaded:
            self.loaded.skipped.update(map(_type, unit.entries))
            return
        left: list[tuple[str, Entry]] = []
        for place, entry in zip(unit.places, unit.entries, strict=True):
            if self._key(place) in self.already_loaded:
                self.loaded.skipped[_type(entry)] += 1
            else:
                left.append((place, entry))
        alone: list[tuple[str, Entry]] = []
        # The entries that a refusal names go apart, and the rest is sent again; a refusal that names none ends that.
        while len(left) > 1:
            keys = [key] if len(left) == len(unit.entries) else [self._key(place) for place, _ in left]
            try:
                await self._send([entry for _, entry in left], keys)
            except Refused as refused:
                named = _named(refused) or set(range(len(left)))
                alone += [placed for position, placed in enumerate(left) if position in named]
                left = [placed for position, placed in enumerate(left) if position not in named]
                if refused.status in _TROUBLED:
                    break
            else:
                left = []
        for place, entry in left + alone:
            await self._alone(place, entry)

    def _key(self, place: str) -> str:
        return f"{self.part.key}/{place}"

    async def _alone(self, place: str, entry: Entry) -> None:
        if self.trouble is not None:
            self._refuse(place, (_type(entry),), self.trouble)
            return
        try:
            await self._send([entry], [self._key(place)])
        except Refused as refused:
            self._refuse(place, (_type(entry),), refused)

    async def _send(self, entries: Sequence[Entry], keys: list[str]) -> None:
        sent = instant(now())
        try:
            answered = await self.target.transaction(list(entries), keys)
        except Refused as refused:
            self.trouble = refused if refused.status in _TROUBLED else None
            raise
        self.loaded.keys += keys
        for entry, answer in zip(entries, answered, strict=True):
            outcome = _outcome(entry, answer.get("response", {}), sent)
            if outcome:
                self.loaded.counts[_type(entry), outcome] += 1

    def _refuse(self, place: str, resources: tuple[str, ...], refused: Refused) -> None:
        self.loaded.refusals.append(Refusal(self.part.source, place, resources, refused.status, refused.issues))


def response_entries(body: bytes) -> list[dict[str, Any]]:
    """Return the entries of a transaction-response."""
    entries: list[dict[str, Any]] = values.decode(body).get("entry", [])
    return entries


def _named(refused: Refused) -> set[int]:
    """Return the positions of the entries that the refusal is about."""
    paths = [path for issue in refused.issues for path in issue.get("expression", ())]
    return {int(match[1]) for path in paths if (match := _POSITION.match(path))}


def _type(entry: Entry) -> str:
    resource = entry.get("resource")
    if isinstance(resource, dict):
        return str(resource.get("resourceType"))
    request = entry.get("request")
    url = str(request.get("url", "")) if isinstance(request, dict) else ""
    return url.partition("?")[0].partition("/")[0]


def _outcome(entry: Entry, response: dict[str, Any], sent: str) -> str | None:
    method, status = entry["request"]["method"], str(response.get("status", ""))[:3]
    if method in ("GET", "HEAD"):
        return None
    if method == "DELETE":
        return "deleted"
    if status == "201":
        return "created"
    return "updated" if method != "POST" and str(response.get("lastModified", "")) >= sent else "unchanged"
