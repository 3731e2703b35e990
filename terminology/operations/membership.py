"""Checking whether a coding is in a value set, and telling why not.

The rule of membership is `selection`'s; this adds what a caller wants to know: which version was meant, whether the
code is abstract or inactive, what is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from terminology.content.provider import CodeSystem
from terminology.model.codings import Coding
from terminology.model.concepts import CodeSystemInfo, Concept, Designation
from terminology.model.designations import Designations
from terminology.model.effort import effort
from terminology.model.issues import Report, issue, process_note
from terminology.model.options import Options
from terminology.model.value_sets import ConceptReference, Include, ValueSet, newest_first
from terminology.model.versions import latest, matches
from terminology.operations.context import Context, unresolved_value_set
from terminology.operations.selection import Member, Selector, expansion_entries
from terminology.operations.statuses import reliability_of, warning_issue

_STEPS_AN_INCLUDE = 3
"""What the look at one part of a value set costs, for one coding."""


@dataclass(slots=True)
class Inactive:
    """An inactive code, or the status of one that is not: where it stands and why."""

    inactive: bool = False
    path: str = ""
    code: str = ""
    status: str | None = None


@dataclass(slots=True)
class Finding:
    """What was learned about one coding."""

    designations: Designations = field(default_factory=Designations)
    system: str | None = None
    version: str | None = None
    language: str | None = None
    normal_form: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a coding is in a value set; `path` is where the coding stands, `finding` takes what is learned of it."""

    value_set: ValueSet
    coding: Coding
    path: str
    finding: Finding

    def within(self, value_set: ValueSet) -> Question:
        """Return the same question of a value set that this one includes."""
        return replace(self, value_set=value_set)


def at(path: str, name: str) -> str:
    """Return the place of an element below a path, which is empty for a parameter of its own."""
    return f"{path}.{name}" if path else name


class MembershipCheck:
    """Checks the codings of one request; `report`, `unknown_systems` and `inactive` gather what is found."""

    def __init__(self, context: Context, selector: Selector) -> None:
        self._context = context
        self._selector = selector
        self._prepared: dict[int, ValueSet] = {}
        self.report = Report()
        self.unknown_systems: list[str] = []
        self.inactive = Inactive()

    @property
    def _options(self) -> Options:
        return self._context.options

    def prepare(self, value_set: ValueSet) -> None:
        """Look whether what the value set refers to is there, and its filters have a meaning.

        Raises UnresolvedReference for a value set that is not known, TerminologyError for the rest.
        """
        if id(value_set) in self._prepared:
            return
        self._selector.check_definition(value_set)
        with self._context.including(value_set):
            for part in (*value_set.includes, *value_set.excludes):
                effort(_STEPS_AN_INCLUDE)
                for reference in part.value_sets:
                    other = self._selector.imported(reference, value_set)
                    if other is None:
                        raise unresolved_value_set(self._context.pinned(reference))
                    self.prepare(other)
                system = self._context.code_system(part.system, part.version) if part.system else None
                if system is not None:
                    self._selector.filters(part, system, value_set)
        self._prepared[id(value_set)] = value_set

    # --- One coding --------------------------------------------------------------------------------------------

    def check(self, question: Question) -> bool | None:
        """Whether the coding is in the value set, None where that cannot be told: its code system is not known."""
        if question.coding.system is None:
            return self._without_system(question)
        question.finding.system = question.coding.system
        if question.value_set.composed:
            return self._check_compose(question)
        if question.value_set.expansion is not None:
            return self._check_expansion(question)
        return False

    def _without_system(self, question: Question) -> bool | None:
        if not self._options.infer_system:
            problem = issue(
                "warning", "invalid", "invalid-data", "Coding_has_no_system__cannot_validate", at=question.path
            )
            self.report.add(problem, in_message=True)
            return False
        value_set, code = question.value_set, question.coding.code or ""
        systems = sorted(
            system
            for system in systems_of(value_set, self._selector)
            if self._selector.contains(value_set, Member(system, None, code))
        )
        if len(systems) == 1:
            return self.check(replace(question, coding=replace(question.coding, system=systems[0])))
        name = "Unable_to_resolve_system__value_set_has_multiple_matches" if systems else "UNABLE_TO_INFER_CODESYSTEM"
        values = (code, value_set.described, ", ".join(systems))
        self.report.add(issue("error", "not-found", "cannot-infer", name, *values, at="code"))
        return False

    def _check_compose(self, question: Question) -> bool | None:
        picked = self._picked_version(question.value_set, question.coding)
        undetermined = False
        for part in newest_first(question.value_set.includes):
            verdict = self._check_include(part, question, picked)
            if verdict:
                member = Member(question.coding.system or "", question.finding.version, question.coding.code or "")
                return not self._selector.excludes(question.value_set, member)
            undetermined = undetermined or verdict is None
        return None if undetermined else False

    def _check_include(self, part: Include, question: Question, picked: str | None) -> bool | None:
        effort(_STEPS_AN_INCLUDE)
        verdict: bool | None = bool(part.value_sets)
        if part.system is not None:
            if part.system != question.coding.system or not _is_of(part, question, picked):
                return False
            verdict = self._check_system(part, question)
        for reference in part.value_sets:
            other = self._selector.imported(reference, question.value_set)
            if other is None:
                raise unresolved_value_set(self._context.pinned(reference))
            self._warn(other, question.value_set)
            if verdict:
                with self._context.including(question.value_set):
                    verdict = self.check(question.within(other))
        return verdict

    def _warn(self, resource: ValueSet | CodeSystemInfo, source: ValueSet) -> None:
        problem = warning_issue(reliability_of(resource), reliability_of(source))
        if problem:
            self.report.add(problem)

    def _check_system(self, part: Include, question: Question) -> bool | None:
        version = self._version(part, question.coding, question.path)
        system = self.code_system(question.coding, version, question.path)
        if system is None:
            if self._options.membership_only:
                return False
            self.add_unknown(question.coding.system or "", version, question.path)
            return None
        self._warn(system.info, question.value_set)
        if system.info.version_needed and not question.coding.version:
            values = (system.info.url, question.coding.code)
            place = at(question.path, "version")
            self.report.add(issue("error", "invalid", "invalid-data", "VERSION_NEEDED", *values, at=place))
        question.finding.language = system.info.language
        if self._check_concept(part, system, question):
            question.finding.version = system.info.version
            return True
        return False

    def code_system(self, coding: Coding, version: str | None, path: str) -> CodeSystem | None:
        """Return the code system of a coding, and report a version that the request forbids."""
        system = self._context.code_system(coding.system or "", version)
        forbidden = self._context.version_check(system) if system else None
        if forbidden:
            self.report.add(replace(forbidden, expression=at(path, "version")))
        return system

    def add_unknown(self, url: str, version: str | None, path: str) -> None:
        """Report a code system that is not there."""
        name = self._context.unknown_canonical(url, version)
        problem = self._context.unknown_code_system(url, version, at=at(path, "system"))
        if name not in self.unknown_systems:
            self.unknown_systems.append(name)
            self.report.add(problem)

    # --- Versions ----------------------------------------------------------------------------------------------

    def _picked_version(self, value_set: ValueSet, coding: Coding) -> str | None:
        """Return which of the versions that a value set has of a system a coding without version means: the latest
        where code and display are found; None where it makes no difference.
        """
        stated = {each.version for each in value_set.includes if each.system == coding.system and each.version}
        if coding.version or len(stated) < 2:
            return None
        fitting = {version for version in stated if self._fits(coding, version)}
        return None if fitting == stated else latest(fitting or stated)

    def _fits(self, coding: Coding, version: str | None) -> bool:
        system = self._context.code_system(coding.system or "", version)
        concept = system.concept(coding.code or "") if system else None
        if concept is None:
            return False
        return not coding.display or any(each.value == coding.display for each in concept.designations)

    def _version(self, part: Include, coding: Coding, path: str) -> str | None:
        """Return the version in which a coding is to be found, and report where the value set wants another."""
        url = part.system or ""
        version = self._context.resolve_version(url, part.version)
        if not coding.version:
            return version
        any_version = self._context.code_system(url, rules=False)
        algorithm = any_version.info.version_algorithm if any_version else None
        if version and version != coding.version and matches(version, coding.version, algorithm):
            version = coding.version
        if not version and any(matches(coding.version, each, algorithm) for each in self._context.versions(url)):
            version = coding.version
        self._report_mismatch(part, coding, version, algorithm, path)
        return version

    def _report_mismatch(
        self, part: Include, coding: Coding, expected: str | None, algorithm: str | None, path: str
    ) -> None:
        url, sent = part.system or "", coding.version or ""
        system = self._context.code_system(url, expected)
        if system is None:
            if expected != sent:
                self._mismatch("error", "VALUESET_VALUE_MISMATCH", (url, expected, sent), path)
            return
        version = system.info.version
        if version is not None and (version == sent or matches(sent, version, algorithm)):
            return
        if not expected:
            severity = "error" if system.info.version_needed else "warning"
            self._mismatch(severity, "VALUESET_VALUE_MISMATCH_DEFAULT", (url, version or "", sent), path)
        elif expected != part.version:
            values = (url, expected, part.version or "", sent)
            self._mismatch("error", "VALUESET_VALUE_MISMATCH_CHANGED", values, path)
        else:
            self._mismatch("error", "VALUESET_VALUE_MISMATCH", (url, part.version, sent), path)
        if self._context.code_system(url, sent, rules=False) is None:
            self.add_unknown(url, sent, path)

    def _mismatch(self, severity: str, name: str, values: tuple[object, ...], path: str) -> None:
        self.report.add(issue(severity, "invalid", "vs-invalid", name, *values, at=at(path, "version")))

    # --- Concepts ----------------------------------------------------------------------------------------------

    def _check_concept(self, part: Include, system: CodeSystem, question: Question) -> bool:
        code = question.coding.code or ""
        concept = system.concept(code)
        if concept is None:
            return part.whole and not self._options.membership_only and self.unknown_code(system, code, question.path)
        if not self._selector.admits(part, system, concept, question.value_set):
            return False
        reference = self._selector.reference(part, concept.code)
        self._note(concept, reference, question)
        self._note_form(system, concept, question)
        if not self._is_allowed(system, concept, question):
            return False
        if reference is not None and reference.deprecation:
            values = (system.info.url, code, reference.deprecation, question.value_set.described)
            name, place = "CONCEPT_DEPRECATED_IN_VALUESET", at(question.path, "code")
            self.report.add(issue("warning", "business-rule", "code-comment", name, *values, at=place))
        self.note_status(concept, question.path, code)
        return True

    def _note(self, concept: Concept, reference: ConceptReference | None, question: Question) -> None:
        designations = question.finding.designations
        designations.add(concept.designations)
        if reference is not None:
            if reference.display:
                designations.add([Designation(reference.display, question.value_set.language, preferred=True)])
            designations.add(reference.designations)

    def _note_form(self, system: CodeSystem, concept: Concept, question: Question) -> None:
        code, place = question.coding.code or "", at(question.path, "code")
        if concept.code != code:
            same = concept.code.casefold() == code.casefold()
            name = "CODE_CASE_DIFFERENCE" if same else "CODE_NOT_IN_NORMAL_FORM"
            values = (code, concept.code, system.info.canonical)
            self.report.add(issue("information", "business-rule", "code-rule", name, *values, at=place))
            question.finding.normal_form = concept.code
        if concept.note:
            self.report.add(process_note(concept.note, place))

    def unknown_code(self, system: CodeSystem, code: str, path: str) -> bool:
        """Report a code that its code system does not have; a fragment may lack it, so there it is allowed."""
        info, place = system.info, at(path, "code")
        if info.content == "fragment":
            version = f" version '{info.version}'" if info.version else ""
            name = "UNKNOWN_CODE_IN_FRAGMENT"
            values = (code, info.url, version)
            self.report.add(issue("warning", "code-invalid", "invalid-code", name, *values, at=place))
            return True
        name = "Unknown_Code_in_Version" if info.version else "Unknown_Code_in"
        self.report.add(issue("error", "code-invalid", "invalid-code", name, code, info.url, info.version, at=place))
        if info.compositional and info.closed and any(mark in code for mark in ":+={}"):
            name = "POSTCOORDINATION_NOT_SUPPORTED"
            self.report.add(issue("information", "not-supported", "process-note", name, code, info.url, at=place))
        return False

    def _is_allowed(self, system: CodeSystem, concept: Concept, question: Question) -> bool:
        code, place = question.coding.code or "", at(question.path, "code")
        if concept.abstract and self._options.abstract_allowed is False:
            if not self._options.membership_only:
                values = (system.info.url, code)
                name = "ABSTRACT_CODE_NOT_ALLOWED"
                self.report.add(issue("error", "business-rule", "code-rule", name, *values, at=place))
            return False
        if concept.inactive and (question.value_set.active_only or self._options.active_only):
            name = "STATUS_CODE_WARNING_CODE"
            self.report.add(issue("error", "business-rule", "code-rule", name, "not active", code, at=place))
            if not self._options.membership_only:
                self.inactive = Inactive(True, question.path, code, concept.status)
            return False
        return True

    def note_status(self, concept: Concept, path: str, code: str) -> None:
        """Keep the status of the first inactive code, or of the last where all are active."""
        if not self.inactive.inactive:
            self.inactive = Inactive(concept.inactive, path, code, concept.status)

    # --- Stored expansions -------------------------------------------------------------------------------------

    def _check_expansion(self, question: Question) -> bool | None:
        value_set, coding = question.value_set, question.coding
        member = Member(coding.system or "", coding.version, coding.code or "")
        if not self._selector.contains(value_set, member):
            return False
        entries = expansion_entries(value_set.expansion or {})
        entry = next(each for each in entries if (each.get("system"), each.get("code")) == (member.system, member.code))
        version = entry.get("version") or coding.version
        return self._check_system(Include("ValueSet.expansion", member.system, version, None, (), ()), question)


def _is_of(part: Include, question: Question, picked: str | None) -> bool:
    if picked is not None and part.version != picked:
        return False
    sent = question.coding.version
    if not sent or part.version == sent:
        return True
    return all(each.version != sent for each in question.value_set.includes)


def systems_of(value_set: ValueSet, selector: Selector) -> Iterator[str]:
    """Return the systems of which a value set may have codes, each once."""
    seen: set[str] = set()
    visited: set[str] = set()
    waiting = [value_set]
    while waiting:
        current = waiting.pop()
        visited.add(current.canonical)
        for entry in expansion_entries(current.expansion or {}) if not current.composed else ():
            seen.add(entry.get("system", ""))
        for part in current.includes:
            seen.add(part.system or "")
            others = [selector.imported(reference, current) for reference in part.value_sets if part.system is None]
            waiting.extend(each for each in others if each is not None and each.canonical not in visited)
    yield from seen - {""}
