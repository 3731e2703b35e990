"""What the library is given of stored resources: those that a request needs, as they are at that moment.

The library does not wait for a database. So it is run on what was read for it, and where it asks for more it is
stopped (`NotRead`), more is read, and it begins again: its operations have no effects. What it will ask for is mostly
known beforehand, from the request and from what the resources refer to, so that one look at each type does.

Nothing is remembered but resources by their id and version: which versions are current, each request asks anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fhir_server.engine.terminology.held import Held, Json, Memory
from fhir_server.engine.terminology.implicit import ImplicitSource
from fhir_server.engine.terminology.official import by_rule, official
from fhir_server.engine.terminology.remote import Routed
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.r4 import values
from fhir_server.search.index.keys import EVERY, clean
from fhir_server.store.terminology.canonicals import MOST, CanonicalMatch, Place
from fhir_server.work.budget import spend, together
from fhir_server.work.threads import apart, sized
from terminology import CodeSystem, LayeredSource, Source, ValueSet
from terminology.content.references import Reference
from terminology.model.concept_maps import ConceptMap
from terminology.model.effort import counting
from terminology.model.versions import split

if TYPE_CHECKING:
    from fhir_server.engine.context import Context

_T = TypeVar("_T")
_ROOM = 16 * 1024 * 1024
"""Bytes of JSON of the stored resources that a worker keeps in memory; as objects they take several times as much."""
_STEPS_A_LOOK = 200
_STEPS_A_VISIT = 5
_CONTENTLESS = frozenset({"not-present", "example"})


class ContentKey(NamedTuple):
    """What is to be read: the resources of a type with an index key."""

    type: str
    key: str


class NotRead(Exception):
    """The library needs what has not been read."""

    def __init__(self, key: ContentKey) -> None:
        super().__init__(key.key)
        self.key = key


def by_url(resource_type: str, url: str) -> ContentKey:
    """Return what is wanted where a canonical URL is named."""
    return ContentKey(resource_type, f"url={clean(url)}")


def _supplementing(url: str) -> ContentKey:
    return ContentKey("CodeSystem", f"supplements={clean(url)}")


def needed_by(reference: Reference) -> Iterator[ContentKey]:
    """Yield what following a reference needs."""
    url, _ = split(reference.url)
    yield by_url(reference.type, url)
    if reference.type == "CodeSystem":
        yield _supplementing(url)


class TerminologyContent:
    """The resources that a process has read lately, and what each look has found last."""

    def __init__(self) -> None:
        self.memory = Memory(_ROOM)
        self.expected: dict[ContentKey, tuple[Place, ...]] = {}
        """What was found last, to read ahead by; never an answer."""

    def expect(self, key: ContentKey, rows: Iterable[CanonicalMatch]) -> None:
        """Remember what was found."""
        if len(self.expected) > 10_000:
            self.expected.clear()
        places = tuple(each.place for each in rows)
        if places:
            self.expected[key] = places
        else:
            self.expected.pop(key, None)


@dataclass(slots=True)
class _Gathering:
    """What one request has read so far."""

    context: Context
    content: TerminologyContent
    read: dict[ContentKey, tuple[Held, ...]] = field(default_factory=dict)

    async def add(self, keys: Iterable[ContentKey]) -> None:
        """Read what is wanted, and what that refers to."""
        fresh = self._ahead(keys)
        while fresh:
            spend(_STEPS_A_LOOK + len(fresh))
            by_type: dict[str, list[ContentKey]] = {}
            for each in fresh:
                by_type.setdefault(each.type, []).append(each)
            await together(*(self._look(name, some) for name, some in by_type.items()))
            fresh = self._ahead(self._following(fresh))

    def _following(self, keys: Iterable[ContentKey]) -> Iterator[ContentKey]:
        for each in keys:
            for held in self.read.get(each, ()):
                for reference in held.references:
                    yield from needed_by(reference)

    def _ahead(self, keys: Iterable[ContentKey]) -> list[ContentKey]:
        """Return what has not been read of what is wanted, and of what that will want as far as is known."""
        fresh: dict[ContentKey, None] = {}
        waiting = list(keys)
        while waiting:
            each = waiting.pop()
            if each in fresh or each in self.read:
                continue
            fresh[each] = None
            if len(fresh) > MOST:
                text = f"The operation needs more than {MOST} code systems and value sets."
                raise Unprocessable(text, code="too-costly")
            for held in self._remembered(each):
                for reference in held.references:
                    waiting += needed_by(reference)
        return list(fresh)

    def _remembered(self, key: ContentKey) -> Iterator[Held]:
        for place in self.content.expected.get(key, ()):
            held = self.content.memory.get((key.type, *place))
            if held is not None:
                yield held
        if key.key.startswith("url="):
            defined = official().held(key.type, key.key.removeprefix("url="))
            if defined is not None:
                yield defined

    async def _look(self, resource_type: str, keys: Sequence[ContentKey]) -> None:
        rows = await self._current(resource_type, [each.key for each in keys])
        held = {each.place: await self._held(resource_type, each) for each in rows}
        await self._read_new(resource_type, [each for each in rows if held[each.place] is None], held)
        for each in keys:
            having = [one for one in rows if each.key in one.keys]
            self.content.expect(each, having)
            self.read[each] = tuple(kept for one in having if (kept := held[one.place]) is not None)

    async def _current(self, resource_type: str, keys: list[str]) -> list[CanonicalMatch]:
        context = self.context
        try:
            context.access.require("read", resource_type)
        except Forbidden:
            return []  # what the caller may not read does not exist
        where = context.access.visible(resource_type, "read")
        return await context.services.canonicals.find(resource_type, keys, where, context.session)

    async def _held(self, resource_type: str, row: CanonicalMatch) -> Held | None:
        if self.context.session is not None:
            return None  # a version that is not stored yet is nothing to remember
        return self.content.memory.get((resource_type, *row.place))

    async def _read_new(
        self, resource_type: str, rows: Sequence[CanonicalMatch], held: dict[Place, Held | None]
    ) -> None:
        if not rows:
            return
        versions = await self.context.services.canonicals.read(resource_type, rows, self.context.session)
        for place, version in versions.items():
            held[place] = made = await sized(len(version.json), _made, version.json)
            if place[3] is not None:
                made.file = await self.context.services.vocabularies.get(place[3])
            if self.context.session is None:
                self.content.memory.put((resource_type, *place), made)


def _made(json: bytes) -> Held:
    held = Held(values.decode(json), len(json))
    _ = held.references  # which walks through it, so it is done here, in a thread where it is large
    return held


async def with_content(
    context: Context,
    work: Callable[[Source], _T],
    needed: Iterable[ContentKey] = (),
    brought: Iterable[Json] = (),
    *,
    elsewhere: bool = False,
) -> _T:
    """Return what the work makes of what the caller sees; it may be done more than once. Raises what it raises.

    `needed` is what it will ask for, as far as is known; `brought` are resources that the request itself has. What R4
    defines is hidden by what is stored or brought under the same url. With `elsewhere`, raises Routed for a code system
    that another server has.
    """
    gathering = _Gathering(context, context.services.terminology)
    await gathering.add(needed)
    own = [(each.get("resourceType"), each.get("url")) for each in brought]

    def is_hidden(resource_type: str, url: str) -> bool:
        return (resource_type, url) in own or stored.has(resource_type, url)

    def routes(url: str) -> bool:
        return elsewhere and ("CodeSystem", url) not in own and context.services.remote.server_of(url) is not None

    stored = StoredSource(gathering.read, routes)
    source = LayeredSource(stored, by_rule(), ImplicitSource(), official(is_hidden))
    while True:
        try:
            return await apart(_counting, work, source)
        except NotRead as missing:
            await gathering.add([missing.key])
        except Routed as routed:
            held = {
                id(each): each for needed, some in gathering.read.items() if needed.type == "ValueSet" for each in some
            }
            routed.needed = [each.resource for each in held.values()]
            raise


def _counting(work: Callable[[Source], _T], source: Source) -> _T:
    """Do the work with what it looks at counted against the request."""
    with counting(spend_visits):
        return work(source)


def spend_visits(number: int) -> None:
    """Count codes that the library looks at."""
    spend(number * _STEPS_A_VISIT)


class StoredSource:
    """What has been read of stored resources; raises NotRead for what has not."""

    def __init__(
        self, read: Mapping[ContentKey, tuple[Held, ...]], routes: Callable[[str], bool] = lambda url: False
    ) -> None:
        self._read = read
        self._routes = routes

    def _held(self, key: ContentKey) -> tuple[Held, ...]:
        resources = self._read.get(key)
        if resources is None:
            raise NotRead(key)
        return resources

    def has(self, resource_type: str, url: str) -> bool:
        """Whether there is a resource with the url, supplements left aside."""
        return bool(self._versions(resource_type, url))

    def _versions(self, resource_type: str, url: str) -> dict[str | None, Held]:
        """Return what there is by version: of two with the same the one in use, or else the last changed."""
        resources = [each for each in self._held(by_url(resource_type, url)) if not each.is_supplement]
        resources.sort(key=lambda each: each.resource.get("status") == "active")
        return {each.version: each for each in resources}

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a code system; raises Routed where another server is to be asked for it."""
        versions = self._versions("CodeSystem", url)
        if self._routes(url) and all(each.resource.get("content") in _CONTENTLESS for each in versions.values()):
            raise Routed(url)
        return list(versions)

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return a code system by its exact version."""
        resource = self._versions("CodeSystem", url).get(version)
        return None if resource is None else resource.code_system

    def supplements(self, url: str) -> Iterable[Json]:
        """Return the supplements of a code system."""
        return [each.resource for each in self._held(_supplementing(url)) if each.is_supplement]

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return a supplement by its own url and, where stated, version."""
        supplements = [each.resource for each in self._held(by_url("CodeSystem", url)) if each.is_supplement]
        return next((each for each in reversed(supplements) if version in (None, each.get("version"))), None)

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a value set."""
        return list(self._versions("ValueSet", url))

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return a value set by its exact version."""
        resource = self._versions("ValueSet", url).get(version)
        return None if resource is None else resource.value_set

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a concept map."""
        return list(self._versions("ConceptMap", url))

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return a concept map by its exact version."""
        resource = self._versions("ConceptMap", url).get(version)
        return None if resource is None else resource.concept_map

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterator[ConceptMap]:
        """Return the concept maps with a group between the systems."""
        key = EVERY
        if source_system:
            key = f"source-system={clean(source_system)}"
        elif target_system:
            key = f"target-system={clean(target_system)}"
        held = self._held(ContentKey("ConceptMap", key))
        return (each.concept_map for each in held if each.concept_map.is_between(source_system, target_system))


def mentioned(parameters: Json, depth: int = 2) -> Iterator[ContentKey]:
    """Yield what the parameters of a request name: they will be asked for. They may have any form."""
    parts = parameters.get("parameter")
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        nested = part.get("resource")
        if isinstance(nested, dict) and nested.get("resourceType") == "Parameters" and depth:
            yield from mentioned(nested, depth - 1)
        for text in _urls(part):
            yield from needed_by(Reference("CodeSystem", text))
            yield by_url("ValueSet", split(text)[0])


_URLS = ("valueUri", "valueCanonical", "valueUrl")


def _urls(part: Json) -> Iterator[str]:
    concept = part.get("valueCodeableConcept")
    listed = concept.get("coding") if isinstance(concept, dict) else None
    for coding in [part.get("valueCoding"), *(listed if isinstance(listed, list) else ())]:
        if isinstance(coding, dict) and isinstance(coding.get("system"), str):
            yield coding["system"]
    yield from (part[name] for name in _URLS if isinstance(part.get(name), str))
