"""R4's own conformance and terminology resources as published, read one by one when they are first asked for.

The files are made by `tools/compile_definitions.py`. At the start of a process nothing is read; the first question
reads the index, and each resource the block that it is in.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from fhir_server.r4 import values

TYPES = (
    "CapabilityStatement",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "ValueSet",
)
Json = dict[str, Any]


class _Place(msgspec.Struct, frozen=True, array_like=True):
    id: str
    version: str | None
    block: int
    begin: int
    end: int


class _Index(msgspec.Struct, frozen=True):
    ends: list[int]
    resources: dict[str, dict[str, _Place]]


@cache
def _index() -> _Index:
    packed = files("fhir_server.r4").joinpath("data", "official_index.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=_Index)


@lru_cache(maxsize=16)
def _block(number: int) -> bytes:
    begin = _index().ends[number - 1] if number else 0
    with files("fhir_server.r4").joinpath("data", "official.bin").open("rb") as file:
        file.seek(begin)
        return zlib.decompress(file.read(_index().ends[number] - begin))


def official_urls(resource_type: str) -> Iterator[str]:
    """Yield the canonical URLs of what R4 defines of one of the TYPES, sorted."""
    yield from _index().resources[resource_type]


@cache
def _urls_by_id(resource_type: str) -> dict[str, str]:
    return {place.id: url for url, place in _index().resources[resource_type].items()}


def official_url(resource_type: str, id_: str) -> str | None:
    """Return the canonical URL of the resource that R4 publishes under a logical id ("Patient", "vitalsigns")."""
    return _urls_by_id(resource_type).get(id_)


def official_version(resource_type: str, url: str) -> str | None:
    """Return the business version of what R4 defines under a canonical URL; None where it defines nothing."""
    place = _index().resources[resource_type].get(url)
    return None if place is None else place.version


def official_size(resource_type: str, url: str) -> int:
    """Return the bytes of a resource as JSON, 0 where R4 does not define it."""
    place = _index().resources[resource_type].get(url)
    return 0 if place is None else place.end - place.begin


def official_resource(resource_type: str, url: str) -> Json | None:
    """Return what R4 defines under a canonical URL, as a resource of its own; None where it defines nothing."""
    place = _index().resources[resource_type].get(url)
    if place is None:
        return None
    resource: Json = values.decode(_block(place.block)[place.begin : place.end])
    return resource
