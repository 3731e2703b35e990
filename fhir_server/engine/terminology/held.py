"""Resources in memory in the forms that the library asks for: each made once and kept as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import cached_property
from threading import Lock
from typing import Any

from terminology import CodeSystem, ValueSet, read_value_set, references
from terminology.content.code_systems import ResourceCodeSystem
from terminology.content.references import Reference
from terminology.model.concept_maps import ConceptMap, read_concept_map

Json = dict[str, Any]


class Held:
    """A CodeSystem, ValueSet or ConceptMap resource; `size` is the bytes of its JSON."""

    def __init__(self, resource: Json, size: int) -> None:
        self.resource = resource
        self.size = size
        self.file: CodeSystem | None = None
        """The code system, where its concepts are in a file."""

    @property
    def url(self) -> str | None:
        """Its canonical URL."""
        return self.resource.get("url")

    @property
    def version(self) -> str | None:
        """Its business version."""
        return self.resource.get("version")

    @property
    def is_supplement(self) -> bool:
        """Whether it is a code system that adds to another."""
        return self.resource.get("content") == "supplement"

    @cached_property
    def code_system(self) -> CodeSystem:
        """The code system that it lists."""
        return self.file or ResourceCodeSystem(self.resource)

    @cached_property
    def value_set(self) -> ValueSet:
        """The value set that it defines."""
        return read_value_set(self.resource)

    @cached_property
    def concept_map(self) -> ConceptMap:
        """The map that it is."""
        return read_concept_map(self.resource)

    @cached_property
    def references(self) -> frozenset[Reference]:
        """The canonicals that it refers to."""
        return frozenset(references(self.resource))


class Memory:
    """The resources used last, up to so many bytes of JSON; a larger one is not kept. Threads may share it."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: OrderedDict[Hashable, Held] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> Held | None:
        """Return what is held under a key, None where it is not any more."""
        with self._lock:
            resource = self._held.get(key)
            if resource is not None:
                self._held.move_to_end(key)
            return resource

    def put(self, key: Hashable, held: Held) -> None:
        """Hold a resource, and let go of those not used for longest."""
        with self._lock:
            before = self._held.pop(key, None)
            self._size -= before.size if before is not None else 0
            if held.size > self._room:
                return
            self._held[key] = held
            self._size += held.size
            while self._size > self._room:
                _, gone = self._held.popitem(last=False)
                self._size -= gone.size
