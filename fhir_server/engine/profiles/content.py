"""The StructureDefinitions that a process has read, compiled; R4's own before what is stored under the same url.

A validation does not wait for the database: what it lacks it says (`NotRead`), that is read, and it begins again. What
was read is looked at anew after a second, so that every worker goes by an installation or a change soon.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fhir_server.engine.profiles.terminology import Answers
from fhir_server.engine.terminology.official import official
from fhir_server.r4 import values
from fhir_server.r4.official import official_version
from fhir_server.r4.profiles.definitions import LayeredDefinitions, OfficialDefinitions, split_canonical
from fhir_server.r4.profiles.mentions import Mentions
from fhir_server.r4.profiles.plans import Plans
from fhir_server.search.index.keys import clean
from fhir_server.store.terminology.canonicals import CanonicalMatch, Place
from terminology.model.versions import latest, matches

if TYPE_CHECKING:
    from fhir_server.engine.context import Services

Json = dict[str, Any]
_TYPE = "StructureDefinition"
_FRESH_SECONDS = 1.0
_AT_ONCE = 200
_MOST_URLS = 5_000
_MOST_CODES = 50_000


class NotRead(Exception):
    """A validation needs a definition that has not been looked for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class StoredDefinitions:
    """The stored StructureDefinitions by url, as they were read; an url without any is remembered, too."""

    def __init__(self) -> None:
        self.by_url: dict[str, list[Json]] = {}

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return a definition in a version that fits, or the latest; raises NotRead for what was not looked for."""
        structures = self.by_url.get(url)
        if structures is None:
            raise NotRead(url)
        return fitting(structures, version)


def fitting(resources: Iterable[Json], version: str | None) -> Json | None:
    """Return the resource in a version that fits, or the latest, of those with one url; active ones come first."""
    by_version = {
        each.get("version"): each
        for each in sorted(resources, key=lambda each: bool(each.get("status") == "active"))
        if version is None or matches(version, each.get("version"))
    }
    return by_version[latest(by_version)] if by_version else None


class ProfileContent:
    """What one process knows of definitions."""

    def __init__(self) -> None:
        self._stored = StoredDefinitions()
        self._places: set[Place] = set()
        self._looked_at = float("-inf")
        self._codes: dict[tuple[str, str], bool] = {}
        self.answers: Answers = {}
        self.plans = Plans(LayeredDefinitions(OfficialDefinitions(), self._stored))

    async def refresh(self, services: Services, *, at_once: bool = False) -> None:
        """See that what was read is what is stored; `at_once` however short ago that was last seen to."""
        if not at_once and time.monotonic() - self._looked_at < _FRESH_SECONDS:
            return
        self._looked_at = time.monotonic()
        self.answers.clear()
        urls = list(self._stored.by_url)
        if len(urls) > _MOST_URLS or self._places != {each.place for each in await _find(services, urls)}:
            self._forget()

    def _forget(self) -> None:
        self._stored = StoredDefinitions()
        self._places = set()
        self.plans = Plans(LayeredDefinitions(OfficialDefinitions(), self._stored))

    async def read(self, services: Services, urls: Iterable[str]) -> None:
        """Read the definitions with some urls, in one look, unless that was done."""
        unread = [each for each in urls if each not in self._stored.by_url]
        if not unread:
            return
        stored = self._stored
        current = await _find(services, unread)
        structures: dict[str, list[Json]] = {each: [] for each in unread}
        if current:
            versions = await services.canonicals.read(_TYPE, current)
            for version in versions.values():
                structure = values.decode(version.json)
                structures.setdefault(structure.get("url", ""), []).append(structure)
        stored.by_url |= structures
        self._places |= {each.place for each in current}

    async def read_mentioned(self, services: Services, mentions: Mentions) -> None:
        """Read what a resource names, unless R4 defines it."""
        named = [split_canonical(each)[0] for each in mentions.profiles]
        named += [each for each in mentions.extensions | mentions.modifiers if ":" in each]
        await self.read(services, sorted({each for each in named if official_version(_TYPE, each) is None}))

    def calls_for_a_look(self, mentions: Mentions) -> bool:
        """Return whether what a resource mentions may break a definition; what cannot, costs no validation."""
        if mentions.profiles or mentions.modifiers or mentions.questionnaire:
            return True
        if any(self._may_be_defined(url) for url in mentions.extensions):
            return True
        return any(not self._is_official_code(*each) for each in mentions.codings)

    def _may_be_defined(self, url: str) -> bool:
        # A part of a complex extension has a name for an url.
        return ":" in url and (official_version(_TYPE, url) is not None or bool(self._stored.by_url.get(url, True)))

    def _is_official_code(self, system: str, code: str) -> bool:
        """Return whether R4 has the code, or has not all of the system's codes."""
        key = (system, code)
        answer = self._codes.get(key)
        if answer is None:
            held = official().held("CodeSystem", system)
            is_whole = held is not None and not held.is_supplement and held.code_system.info.content == "complete"
            answer = held is None or not is_whole or held.code_system.concept(code) is not None
            if len(self._codes) > _MOST_CODES:
                self._codes.clear()
            self._codes[key] = answer
        return answer


async def _find(services: Services, urls: Iterable[str]) -> list[CanonicalMatch]:
    keys = [f"url={clean(each)}" for each in urls]
    looks = [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]
    return [each for some in looks for each in await services.canonicals.find(_TYPE, some, None)]
