"""QuestionnaireResponses against the Questionnaires that they name: stored, of a package, or contained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.engine.context import Context, Services
from fhir_server.engine.profiles.content import fitting
from fhir_server.engine.profiles.terminology import LibraryTerminology
from fhir_server.r4 import values
from fhir_server.r4.profiles.definitions import split_canonical
from fhir_server.r4.questionnaires import response_faults
from fhir_server.r4.references import local
from fhir_server.r4.validation.faults import Fault, placed
from fhir_server.search.index.keys import clean

Json = dict[str, Any]
Questionnaires = Mapping[str, "Json | None"]
"""Questionnaires by the canonical that names them; None where there is none."""

_TYPE = "Questionnaire"


async def questionnaires_of(context: Context, resource: Json) -> Questionnaires:
    """Return the questionnaires that the responses in a resource name."""
    named: dict[str, Json | None] = {}
    for _, response in _responses(resource):
        canonical = response.get("questionnaire")
        if isinstance(canonical, str) and canonical not in named and not canonical.startswith("#"):
            named[canonical] = await _read(context, canonical)
    return named


async def _read(context: Context, canonical: str) -> Json | None:
    services, named = context.services, local(canonical, context.base_url)
    if named is not None:  # many name it by its place here
        stored = await services.resources.read(_TYPE, named.id) if named.type == _TYPE else None
        return None if stored is None or stored.deleted else values.decode(stored.json)
    return await _latest(services, canonical)


async def _latest(services: Services, canonical: str) -> Json | None:
    url, version = split_canonical(canonical)
    store = services.canonicals
    places = await store.find(_TYPE, [f"url={clean(url)}"], None)
    stored = [values.decode(each.json) for each in (await store.read(_TYPE, places)).values()] if places else []
    return fitting(stored, version)


def questionnaire_faults(
    resource: Json, questionnaires: Questionnaires, terminology: LibraryTerminology, *, everything: bool
) -> list[Fault]:
    """Return what the responses in a resource break of their questionnaires; warnings with `everything`."""
    faults: list[Fault] = []
    for place, response in _responses(resource):
        canonical = response.get("questionnaire")
        if not isinstance(canonical, str):
            continue
        questionnaire = _contained(response, canonical) or questionnaires.get(canonical)
        if questionnaire is None:
            text = f"The Questionnaire {canonical[:300]} is not known to this server, so the answers were not checked."
            placed(faults, place, [Fault(".questionnaire", "not-found", text, "warning")])
            continue

        def member(value_set: str, coding: Json) -> bool | None:
            return terminology.membership(value_set, [coding], code_alone=False).holds

        placed(faults, place, response_faults(response, questionnaire, member))
    return faults if everything else [each for each in faults if each.severity == "error"]


def _contained(response: Json, canonical: str) -> Json | None:
    named = [each for each in response.get("contained", ()) if canonical == f"#{each.get('id')}"]
    return named[0] if named and named[0].get("resourceType") == _TYPE else None


def _responses(resource: Json) -> Iterator[tuple[str, Json]]:
    """Yield the responses that a resource is or has as a bundle, with their places."""
    if resource.get("resourceType") == "QuestionnaireResponse":
        yield "", resource
    elif resource.get("resourceType") == "Bundle":
        for number, entry in enumerate(resource.get("entry", ())):
            held = entry.get("resource")
            if isinstance(held, dict) and held.get("resourceType") == "QuestionnaireResponse":
                yield f".entry[{number}].resource", held
