"""A CodeSystem resource as JSON, such as publishers offer beside their own formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text
from terminology.content.reading import read_concept, read_info
from terminology.model.concepts import CodeSystemInfo

Json = dict[str, Any]


def read(release: Release, builder: Builder, version: str | None) -> SystemRecord:
    """Take in the concepts of the one CodeSystem among the files."""
    name = release.one(r".*\.json", "a CodeSystem")
    with release.open(name) as file:
        try:
            resource = msgspec.json.decode(file.read())
        except (msgspec.DecodeError, RecursionError) as error:
            raise SourceError(f"{name} is not JSON.") from error
    if not isinstance(resource, dict) or resource.get("resourceType") != "CodeSystem" or not resource.get("url"):
        raise SourceError(f"{name} is not a CodeSystem with a url.")
    version = version or resource.get("version")
    if not version:
        raise SourceError(f"{name} has no version: give --system-version.")
    info = read_info(resource)
    builder.add(_concepts(resource, info))
    return SystemRecord(
        url=info.url,
        version=version,
        name=info.name or "CodeSystem",
        title=info.title or info.url,
        properties=[(each.code, each.type, each.uri) for each in info.properties],
        hierarchy_meaning=info.hierarchy_meaning or "is-a",
        case_sensitive=info.case_sensitive,
        compositional=info.compositional,
        value_set=info.value_set,
        copyright=resource.get("copyright"),
        language=info.language or "en",
    )


def _concepts(resource: Json, info: CodeSystemInfo) -> Iterator[ConceptRecord]:
    waiting: list[tuple[Json, str | None]] = [(each, None) for each in reversed(resource.get("concept", ()))]
    while waiting:
        stated, parent = waiting.pop()
        if not isinstance(stated.get("code"), str):
            raise SourceError("A concept of the CodeSystem has no code.")
        waiting.extend((each, stated["code"]) for each in reversed(stated.get("concept", ())))
        concept = read_concept(stated, info)
        facts = [Fact(each.code, each.text, each.type) for each in concept.properties]
        above = [each.value for each in facts if each.name in ("parent", "subsumedBy")]
        yield ConceptRecord(
            code=concept.code,
            display=concept.display,
            definition=concept.definition,
            texts=[
                Text(
                    each.value,
                    each.language,
                    None
                    if not each.use
                    else (each.use.get("system", ""), each.use.get("code", ""), each.use.get("display", "")),
                    each.preferred,
                )
                for each in concept.designations
            ],
            facts=facts,
            parents=[*([parent] if parent else []), *above],
            inactive=concept.inactive,
            abstract=concept.abstract,
            status=concept.status,
        )
