"""What profiles ask of terminology, answered by the library on the content that a validation has at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.r4.profiles.run import Membership
from fhir_server.work.budget import spend
from terminology import CodeSystem, Limits, Options, Source, TerminologyError, ValidateRequest, validate_in_value_set
from terminology.model.codings import Coding, read_coding
from terminology.model.versions import latest, split
from terminology.operations.validate import CODE, CODEABLE_CONCEPT

Json = dict[str, Any]
Answers = dict[object, Membership]

_STEPS = 100
_STEPS_A_VISIT = 5
_MOST_ANSWERS = 20_000

Listing = dict[str, frozenset[str] | None]
_MOST_LEVELS = 6


def _join(listing: Listing, more: Listing) -> None:
    for system, codes in more.items():
        before = listing.get(system, frozenset())
        listing[system] = None if before is None or codes is None else before | codes


class LibraryTerminology:
    """Answers by the library; `answers` remembers what was asked before."""

    def __init__(self, source: Source, answers: Answers) -> None:
        self._source = source
        self._answers = answers
        self._limits = Limits(spend=lambda visits: spend(visits * _STEPS_A_VISIT))

    def membership(self, value_set: str, codings: Sequence[Json], *, code_alone: bool) -> Membership:
        """Say whether one of the codings is in a value set; not judged where it or a code system is unknown."""
        read = [read_coding(each) for each in codings]
        key = (value_set, code_alone, tuple((each.system, each.version, each.code) for each in read))
        answer = self._answers.get(key)
        if answer is None:
            spend(_STEPS)
            answer = self._membership(value_set, read, code_alone=code_alone)
            if len(self._answers) > _MOST_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def _membership(self, value_set: str, codings: list[Coding], *, code_alone: bool) -> Membership:
        """Ask the library of what is of known systems; of others a value set can tell that lists their codes itself."""
        if code_alone:
            return self._judged(value_set, codings, code_alone=True)
        foreign = [each for each in codings if each.system and not self._source.code_system_versions(each.system)]
        ours = [each for each in codings if each not in foreign]
        answer = self._judged(value_set, ours, code_alone=False) if ours else Membership(False)
        if answer.holds or not foreign:
            return answer
        listed = self._listing(split(value_set)[0], _MOST_LEVELS)
        if listed is None:
            return Membership(None, answer.why or f"{value_set} is not known to this server.")
        for each in foreign:
            codes = listed.get(each.system or "", frozenset())
            if codes is None:
                return Membership(None, f"the code system {each.system} is not known to this server.")
            if each.code in codes:
                return Membership(True)
        return answer

    def _judged(self, value_set: str, codings: list[Coding], *, code_alone: bool) -> Membership:
        url, version = split(value_set)
        path = CODE if code_alone else CODEABLE_CONCEPT
        options = Options(validating=True, membership_only=True, infer_system=code_alone)
        request = ValidateRequest(codings, path, url=url, version=version, options=options)
        try:
            answer = validate_in_value_set(request, self._source, self._limits)
        except TerminologyError as error:
            if version is not None:
                # A guide names the version it was published with; what is here decides.
                return self._judged(url, codings, code_alone=code_alone)
            return Membership(None, str(error))
        if not answer.valid and (answer.unknown_systems or answer.caused_by_unknown_systems):
            return Membership(None, answer.message or "a code system is not known to this server.")
        return Membership(answer.valid, answer.message or "")

    def _listing(self, url: str, levels: int) -> Listing | None:
        """Return the codes that a value set lists, by system; None of a system that it selects from otherwise."""
        versions = list(self._source.value_set_versions(url))
        value_set = self._source.value_set(url, latest(versions)) if versions and levels else None
        if value_set is None or value_set.excludes:
            return None
        listing: Listing = {}
        for part in value_set.includes:
            if part.system is None:
                for reference in part.value_sets:
                    _join(listing, self._listing(split(reference)[0], levels - 1) or {})
            elif part.concepts is None or part.value_sets:
                listing[part.system] = None
            else:
                _join(listing, {part.system: frozenset(each.code for each in part.concepts)})
        return listing

    def is_code(self, system: str, version: str | None, code: str) -> bool | None:
        """Say whether a system has a code, None where not all of its codes are known."""
        key = (system, version, code)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = Membership(self._has(system, version, code))
        return answer.holds

    def _has(self, system: str, version: str | None, code: str) -> bool | None:
        code_system = self._code_system(system, version)
        if code_system is None or code_system.info.content != "complete":
            return None
        return code_system.concept(code) is not None

    def _code_system(self, system: str, version: str | None) -> CodeSystem | None:
        versions = list(self._source.code_system_versions(system))
        if not versions or (version is not None and version not in versions):
            return None
        return self._source.code_system(system, version or latest(versions))
