"""Running a validation by profiles on what is stored: definitions, terminology, and what references point to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.engine.access import OpenAccess
from fhir_server.engine.context import Context
from fhir_server.engine.profiles.content import NotRead
from fhir_server.engine.profiles.questionnaires import questionnaire_faults, questionnaires_of
from fhir_server.engine.profiles.terminology import LibraryTerminology
from fhir_server.engine.terminology.content import with_content
from fhir_server.errors import FhirError, Issue
from fhir_server.r4 import values
from fhir_server.r4.profiles.definitions import split_canonical
from fhir_server.r4.profiles.mentions import mentions_of
from fhir_server.r4.profiles.validation import validate_profiles
from fhir_server.r4.references import local
from fhir_server.r4.validation.faults import Fault
from fhir_server.work.budget import spend
from terminology import Source

Json = dict[str, Any]

MOST_ISSUES = 1000
_MOST_TARGETS = 200
_STEPS_A_READ = 200


class TargetNotRead(Exception):
    """A validation needs what a reference points to."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference)
        self.reference = reference


@dataclass(slots=True)
class Targets:
    """What stored references point to, as far as the caller may read it."""

    context: Context
    read: dict[str, Json | None] = field(default_factory=dict)

    def resolve(self, reference: str) -> Json | None:
        """Return what a reference points to on this server; raises TargetNotRead where it was not read yet."""
        named = local(reference, self.context.base_url)
        if named is None or len(self.read) >= _MOST_TARGETS:
            return None
        if reference not in self.read:
            raise TargetNotRead(reference)
        return self.read[reference]

    async def add(self, reference: str) -> None:
        """Read a target with the caller's own rights: what the caller may not read is not looked at."""
        spend(_STEPS_A_READ)
        named = local(reference, self.context.base_url)
        self.read[reference] = None
        if named is None:
            return
        try:
            self.context.access.require("read", named.type)
            where = self.context.access.visible(named.type, "read")
        except FhirError:
            return
        version = await self.context.services.resources.read(named.type, named.id, where=where)
        if version is not None and not version.deleted:
            self.read[reference] = values.decode(version.json)


def _resolve_nothing(reference: str) -> Json | None:
    return None


async def profile_faults(
    context: Context,
    resource: Json,
    *,
    profiles: Sequence[str] = (),
    everything: bool = False,
    targets: Targets | None = None,
) -> list[Fault]:
    """Return what a resource breaks of its profiles and extensions, of `profiles`, and of its questionnaire.

    Definitions and terminology are used with the server's own rights, so that the answer is the same for everybody.
    """
    content, services = context.services.profiles, context.services
    await content.refresh(services, at_once=everything)
    await content.read_mentioned(services, mentions_of(resource))
    ours = replace(context, access=OpenAccess(), session=None)
    resolve = targets.resolve if targets is not None else _resolve_nothing
    questionnaires = await questionnaires_of(context, resource)

    def work(source: Source) -> list[Fault]:
        terminology = LibraryTerminology(source, content.answers)
        faults = validate_profiles(
            resource,
            content.plans,
            profiles=profiles,
            terminology=terminology,
            resolve=resolve,
            everything=everything,
        )
        return faults + questionnaire_faults(resource, questionnaires, terminology, everything=everything)

    while True:
        try:
            return await with_content(ours, work)
        except NotRead as missing:
            await content.read(services, [missing.url])
        except TargetNotRead as missing:
            assert targets is not None, "nothing else asks for targets"
            await targets.add(missing.reference)


async def is_known(context: Context, canonical: str) -> bool:
    """Return whether there is a definition with the canonical."""
    content, services = context.services.profiles, context.services
    await content.refresh(services, at_once=True)
    url, version = split_canonical(canonical)
    while True:
        try:
            return content.plans.definitions.structure(url, version) is not None
        except NotRead as missing:
            await content.read(services, [missing.url])


def issues_of(faults: Sequence[Fault], root: str) -> list[Issue]:
    """Return faults as issues of a resource whose FHIRPath begins with `root`."""
    issues = [Issue(each.code, each.text, (root + each.path,), each.severity) for each in faults[:MOST_ISSUES]]
    if len(faults) > MOST_ISSUES:
        issues.append(Issue("too-costly", f"{len(faults) - MOST_ISSUES} more are not listed.", (), "warning"))
    return issues
