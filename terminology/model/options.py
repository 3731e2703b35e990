"""The parameters that operations share: which versions, languages, texts and properties a caller wants.

https://hl7.org/fhir/R5/valueset-operation-expand.html, https://hl7.org/fhir/R5/valueset-operation-validate-code.html
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from terminology.model.issues import TerminologyError, invalid, issue
from terminology.model.languages import LanguageRanges
from terminology.model.versions import VersionRule, split

_FLAGS = {
    "includeDesignations": "include_designations",
    "includeDefinition": "include_definition",
    "activeOnly": "active_only",
    "excludeNested": "exclude_nested",
    "excludeNotForUI": "exclude_not_for_ui",
    "excludePostCoordinated": "exclude_post_coordinated",
    "versionsMatch": "versions_match",
    "lenient-display-validation": "lenient_display",
    "valueset-membership-only": "membership_only",
    "inferSystem": "infer_system",
    "abstract": "abstract_allowed",
}
_VERSION_RULES = {
    "system-version": ("default", False),
    "check-system-version": ("check", False),
    "force-system-version": ("force", False),
    "default-valueset-version": ("default", True),
    "check-valueset-version": ("check", True),
    "force-valueset-version": ("force", True),
}
_LISTS = {
    "designation": "designations",
    "property": "properties",
    "useSupplement": "supplements",
    "exclude-system": "excluded_systems",
}
_NUMBERS = {"count", "offset"}
_DIGITS = 9


@dataclass(slots=True)
class Options:
    """What a caller wants; None where nothing was said. `validating` is set for `$validate-code`, where languages that
    are not listed do not do.
    """

    validating: bool = False
    version_rules: list[VersionRule] = field(default_factory=list)
    display_languages: LanguageRanges | None = None
    request_languages: LanguageRanges | None = None
    designations: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    supplements: list[str] = field(default_factory=list)
    excluded_systems: list[str] = field(default_factory=list)
    include_designations: bool | None = None
    include_definition: bool | None = None
    active_only: bool | None = None
    exclude_nested: bool | None = None
    exclude_not_for_ui: bool | None = None
    exclude_post_coordinated: bool | None = None
    versions_match: bool | None = None
    lenient_display: bool | None = None
    membership_only: bool | None = None
    infer_system: bool | None = None
    abstract_allowed: bool | None = None
    filter: str | None = None
    count: int | None = None
    offset: int | None = None

    @property
    def languages(self) -> LanguageRanges | None:
        """The languages wanted: those of the operation before those of the request."""
        return self.display_languages or self.request_languages

    @property
    def language_summary(self) -> str:
        """The languages as messages name them."""
        return self.languages.summary() if self.languages else "--"

    def accept_language(self, text: str) -> None:
        """Read an Accept-Language header; one that is none is passed over, as HTTP asks."""
        try:
            self.request_languages = LanguageRanges.parse(text, others=not self.validating)
        except ValueError:
            return

    def read(self, name: str, value: Any) -> bool:
        """Read a parameter; return False for one that is not of these. Raises TerminologyError for a bad value."""
        if name in _VERSION_RULES:
            self._read_rule(name, value)
        elif name in _FLAGS:
            setattr(self, _FLAGS[name], flag(name, value))
        elif name in _LISTS:
            current = getattr(self, _LISTS[name])
            if str(value) not in current:
                current.append(str(value))
        elif name in _NUMBERS:
            setattr(self, name, _number(name, value))
        elif name == "displayLanguage":
            self._read_languages(str(value))
        elif name == "filter":
            self.filter = str(value)
        else:
            return False
        return True

    def _read_rule(self, name: str, value: Any) -> None:
        url, version = split(str(value))
        if not url or not version:
            raise invalid(f"{name} is a canonical with a version, url|version: {value!r} is none")
        mode, of_value_sets = _VERSION_RULES[name]
        self.version_rules.append(VersionRule(mode, url, version, of_value_sets))

    def _read_languages(self, text: str) -> None:
        try:
            self.display_languages = LanguageRanges.parse(text, others=not self.validating)
        except ValueError:
            problem = issue("error", "processing", "invalid-display", "INVALID_DISPLAY_NAME", text)
            raise TerminologyError(problem) from None

    def with_defaults(self, parameters: Iterable[tuple[str, Any]], language: str | None) -> Options:
        """Return the options with what a value set says of its own expansion, where the caller said nothing."""
        parameters = list(parameters)
        if not parameters and (language is None or self.request_languages is not None):
            return self
        own = deepcopy(self)
        for name, value in parameters:
            if not self._is_set(name):
                own.read(name, value)
        if own.request_languages is None and language:
            own.accept_language(language)
        return own

    def _is_set(self, name: str) -> bool:
        if name == "displayLanguage":
            return self.display_languages is not None
        attribute = _FLAGS.get(name, name)
        return name not in _LISTS and name not in _VERSION_RULES and getattr(self, attribute, None) is not None


def flag(name: str, value: Any) -> bool:
    """Return a boolean parameter; as text, too, as it comes in a URL."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise invalid(f"{name} is true or false, not {value!r}")


def _number(name: str, value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise invalid(f"{name} is a whole number of 0 or more, not {text[:40]!r}")
    return int(text)
