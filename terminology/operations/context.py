"""What the operations of one request share: where content is, which version of it is meant, what was used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cmp_to_key

from terminology.content.memory import LayeredSource, MemorySource
from terminology.content.provider import CodeSystem, Source
from terminology.content.supplements import Supplement, SupplementedCodeSystem, is_language_pack
from terminology.model.concepts import Json
from terminology.model.issues import Issue, TerminologyError, UnresolvedReference, invalid, issue
from terminology.model.messages import alternatives
from terminology.model.options import Options
from terminology.model.value_sets import ValueSet, read_value_set
from terminology.model.versions import VersionRule, canonical, compare, matches, split

_USABLE = {"complete", "fragment"}
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operation may cost: `codes` that an expansion may have where no page was asked for, and `visited` codes
    and value sets that it may look at to find or count them. `spend` is told of each such step, and may end the
    operation by an exception of its own.
    """

    codes: int = 1000
    visited: int = 1_000_000
    spend: Callable[[int], None] = lambda steps: None


@dataclass(slots=True)
class Context:
    """The content that a request sees: its own resources above those of the source, and its version rules."""

    source: Source
    options: Options
    limits: Limits = field(default_factory=Limits)
    followed: list[VersionRule] = field(default_factory=list)
    required_supplements: set[str] = field(default_factory=set)
    used_supplements: set[str] = field(default_factory=set)
    _systems: dict[tuple[str, str | None], CodeSystem | None] = field(default_factory=dict)
    _under_way: list[str] = field(default_factory=list)
    _spent: int = 0

    @classmethod
    def of(
        cls, source: Source, options: Options, resources: Iterable[Json] = (), limits: Limits | None = None
    ) -> Context:
        """Return the context of a request that brought resources along."""
        own = list(resources)
        layered = LayeredSource(MemorySource(own), source) if own else source
        return cls(layered, options, limits or Limits(), required_supplements=set(options.supplements))

    def adopt(self, value_set: ValueSet) -> None:
        """Take over what a value set says of its own expansion."""
        self.options = self.options.with_defaults(value_set.parameters, value_set.language)
        self.require_supplements([*self.options.supplements, *value_set.supplements])

    def require_supplements(self, names: Iterable[str]) -> None:
        """Use supplements, and remember that they are needed."""
        missing = set(names) - self.required_supplements
        if missing:
            self.required_supplements |= missing
            self._systems.clear()

    # --- Versions ----------------------------------------------------------------------------------------------

    def resolve_version(self, url: str, version: str | None, *, of_value_sets: bool = False) -> str | None:
        """Return the version that the rules of the request make of a stated one, None for the latest."""
        rules = [each for each in self.options.version_rules if (each.url, each.of_value_sets) == (url, of_value_sets)]
        forced = self._rule(rules, "force", "SYSTEM_VERSION_MULTIPLE_OVERRIDE")
        if forced is not None:
            return self._follow(forced)
        if version:
            return version
        default = self._rule(rules, "default", "SYSTEM_VERSION_MULTIPLE_DEFAULT")
        rule = default or next((each for each in rules if each.mode == "check"), None)
        return self._follow(rule) if rule else None

    def _rule(self, rules: list[VersionRule], mode: str, message: str) -> VersionRule | None:
        fitting = [each for each in rules if each.mode == mode]
        others = [each for each in fitting if each.version != fitting[0].version]
        if others:
            values = (fitting[0].url, fitting[0].version, others[0].version)
            raise TerminologyError(issue("error", "exception", "version-error", message, *values))
        return fitting[0] if fitting else None

    def _follow(self, rule: VersionRule) -> str:
        if rule not in self.followed:
            self.followed.append(rule)
        return rule.version

    def version_check(self, system: CodeSystem) -> Issue | None:
        """Return the issue of a code system in a version that a check of the request forbids."""
        info = system.info
        for rule in self.options.version_rules:
            checks = rule.mode == "check" and rule.url == info.url and not rule.of_value_sets
            if checks and not matches(rule.version, info.version, info.version_algorithm):
                values = (info.url, info.version or "", rule.version)
                return issue("error", "exception", "version-error", "VALUESET_VERSION_CHECK", *values)
        return None

    def versions(self, url: str) -> list[str]:
        """Return the stated versions of a code system, oldest first."""
        stated = {version for version in self.source.code_system_versions(url) if version}
        return sorted(stated, key=cmp_to_key(compare))

    # --- Code systems ------------------------------------------------------------------------------------------

    def code_system(self, url: str, version: str | None = None, *, rules: bool = True) -> CodeSystem | None:
        """Return the latest code system with content whose version is what is wanted, with its supplements."""
        resolved = self.resolve_version(url, version) if rules and self.options.version_rules else version
        key = (url, resolved)
        if key not in self._systems:
            self._systems[key] = self._find(url, resolved)
        system = self._systems[key]
        if system is not None and self.required_supplements:
            self._note_supplements(system)
        return system

    def _find(self, url: str, requested: str | None) -> CodeSystem | None:
        for version in self._candidates(url, requested):
            system = self.source.code_system(url, version)
            if system is not None and system.info.content in _USABLE:
                return self._supplemented(system)
        return None

    def _candidates(self, url: str, requested: str | None) -> Iterator[str | None]:
        available = self.source.code_system_versions(url)
        stated = sorted((each for each in available if each), key=cmp_to_key(compare), reverse=True)
        if requested is None:
            yield from stated
            yield from (each for each in available if not each)
        elif requested in stated:
            yield requested
        else:
            for version in stated:
                system = self.source.code_system(url, version)
                if matches(requested, version, system.info.version_algorithm if system else None):
                    yield version

    def _supplemented(self, system: CodeSystem) -> CodeSystem:
        supplements = [
            Supplement(each) for each in self.source.supplements(system.info.url) if self._applies(each, system)
        ]
        return SupplementedCodeSystem(system, supplements) if supplements else system

    def _applies(self, resource: Json, system: CodeSystem) -> bool:
        names = {resource.get("url", ""), canonical(resource.get("url", ""), resource.get("version"))}
        if not (names & self.required_supplements or is_language_pack(resource)):
            return False
        _, version = split(resource.get("supplements", ""))
        return version is None or matches(version, system.info.version, system.info.version_algorithm)

    def _note_supplements(self, system: CodeSystem) -> None:
        for name in system.info.supplements:
            self.used_supplements.update({name, split(name)[0]} & self.required_supplements)

    def check_supplements(self) -> None:
        """Raise TerminologyError where a supplement that is needed was not there for any code system used."""
        missing = sorted(self.required_supplements - self.used_supplements)
        if missing:
            name = f"VALUESET_SUPPLEMENT_MISSING_{'one' if len(missing) == 1 else 'other'}"
            raise TerminologyError(issue("error", "not-found", "not-found", name, ", ".join(missing)))

    def unknown_code_system(self, url: str, version: str | None, *, at: str = "", expanding: bool = False) -> Issue:
        """Return the issue of a code system that is not there."""
        name, values = "UNKNOWN_CODESYSTEM", [url]
        if version:
            versions = self.versions(url)
            name += "_VERSION"
            values.append(version)
            if versions:
                values.append(alternatives(versions, "or" if len(versions) == 2 else "and"))
        name += "_EXP" if expanding else ""
        name += "_NONE" if version and len(values) == 2 else ""
        return issue("error", "not-found", "not-found", name, *values, at=at)

    def unknown_canonical(self, url: str, version: str | None) -> str:
        """Return how results name a code system that is not there: with the version, where others are."""
        return canonical(url, version) if version and self.versions(url) else url

    # --- Value sets --------------------------------------------------------------------------------------------

    def pinned(self, reference: str) -> str:
        """Return a reference to a value set with the version that the rules of the request make of its own."""
        url, version = split(reference)
        return canonical(url, self.resolve_version(url, version, of_value_sets=True))

    def value_set(self, reference: str, within: ValueSet | None = None) -> ValueSet | None:
        """Return the latest value set whose version is what is wanted; `#id` for one contained in another."""
        if reference.startswith("#"):
            return _contained(reference[1:], within)
        url, version = split(reference)
        for candidate in _latest_first(self.source.value_set_versions(url)):
            if version is None or matches(version, candidate):
                return self._allowed(self.source.value_set(url, candidate))
        return None

    def _allowed(self, value_set: ValueSet | None) -> ValueSet | None:
        """Return a value set; raise TerminologyError for a version that a check of the request forbids."""
        for rule in self.options.version_rules if value_set else ():
            checks = rule.mode == "check" and rule.of_value_sets and value_set and rule.url == value_set.url
            if checks and value_set and not matches(rule.version, value_set.version):
                values = (value_set.url, value_set.version or "", rule.version)
                problem = issue("error", "exception", "version-error", "VALUESET_VERSION_CHECK_VS", *values)
                raise TerminologyError(problem)
        return value_set

    def unresolved_import(self, reference: str, *, excluding: bool = False) -> UnresolvedReference:
        """Return the error of a value set that is not there, though another that is expanded imports it."""
        url, version = split(self.pinned(reference))
        kind = "CS" if self.source.code_system_versions(url) else "UNK"
        name = f"VS_EXP_IMPORT_{kind}{'_PINNED' if version else ''}{'_X' if excluding else ''}"
        return UnresolvedReference(issue("error", "not-found", "not-found", name, url, version or ""))

    def requested_value_set(self, resource: Json | None, url: str | None, version: str | None) -> ValueSet:
        """Return the value set that a request names or brings; raise TerminologyError where there is none."""
        if resource is not None:
            return read_value_set(resource)
        if not url:
            raise invalid("No ValueSet specified: give its url, or the resource itself as valueSet", code="required")
        reference = self.pinned(canonical(url, version))
        resolved = self.value_set(reference)
        if resolved is None:
            raise unresolved_value_set(reference)
        return resolved

    def spend(self, value_set: ValueSet, steps: int = 1) -> None:
        """Count work done; raise TerminologyError where it is more than the limit."""
        self._spent += steps
        self.limits.spend(steps)
        if self._spent > self.limits.visited:
            values = (value_set.described, self.limits.visited)
            raise TerminologyError(issue("error", "too-costly", None, "VALUESET_TOO_COSTLY_WORK", *values))

    def step(self, steps: int = 1) -> None:
        """Count work done outside of any value set."""
        self.limits.spend(steps)

    @contextmanager
    def including(self, value_set: ValueSet) -> Iterator[None]:
        """Guard the walk through what a value set includes; raise TerminologyError where it includes itself."""
        name = value_set.canonical or f"#{value_set.resource.get('id', '')}"
        if name in self._under_way:
            values = (name, "[" + ", ".join(self._under_way) + "]")
            raise TerminologyError(issue("error", "processing", None, "VALUESET_CIRCULAR_REFERENCE", *values))
        if len(self._under_way) >= _DEEPEST:
            deep = issue("error", "too-costly", None, "VALUESET_NESTED_TOO_DEEPLY", value_set.described, _DEEPEST)
            raise TerminologyError(deep)
        self.spend(value_set)
        self._under_way.append(name)
        try:
            yield
        finally:
            self._under_way.pop()


def unresolved_value_set(reference: str) -> UnresolvedReference:
    """Return the error of a value set that is not there."""
    return UnresolvedReference(issue("error", "not-found", "not-found", "Unable_to_resolve_value_Set_", reference))


def _latest_first(versions: Iterable[str | None]) -> list[str | None]:
    every = list(versions)
    stated = sorted((each for each in every if each), key=cmp_to_key(compare), reverse=True)
    return [*stated, *(each for each in every if not each)]


def _contained(identifier: str, within: ValueSet | None) -> ValueSet | None:
    for resource in within.resource.get("contained", ()) if within else ():
        if resource.get("resourceType") == "ValueSet" and resource.get("id") == identifier:
            shared = {"contained": within.resource["contained"], **resource} if within else resource
            return read_value_set(shared, contained=True)
    return None
