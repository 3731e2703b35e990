"""Concepts and the code systems that define them, as every operation sees them, wherever they are kept.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from terminology.model.versions import canonical

Json = dict[str, Any]

CONCEPT_PROPERTIES = "http://hl7.org/fhir/concept-properties"
PREFERRED_FOR_LANGUAGE = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}
SNOMED = "http://snomed.info/sct"
_SNOMED_PREFERRED = {"900000000000548007"}
_INACTIVE_DESIGNATIONS = {"withdrawn", "inactive", "retired", "deprecated"}
INACTIVE_STATUSES = {"inactive", "retired", "withdrawn"}


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a concept; `type` is FHIR's, such as `code` or `Coding`, `uri` what defines it."""

    code: str
    type: str
    value: Any
    uri: str | None = None

    @property
    def text(self) -> str:
        """The value as filters compare it."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, dict):
            return str(self.value.get("code", ""))
        return str(self.value)

    @property
    def element(self) -> str:
        """The name of the element that holds the value: `valueCode`."""
        return "value" + self.type[0].upper() + self.type[1:]


@dataclass(frozen=True, slots=True)
class Designation:
    """A text that means a concept; `preferred` for a display, `source` the supplement that gave it."""

    value: str
    language: str | None = None
    use: Json | None = None
    preferred: bool = False
    status: str = "active"
    extensions: tuple[Json, ...] = ()
    source: str | None = None

    @property
    def active(self) -> bool:
        """Whether the text is still in use."""
        return self.status not in _INACTIVE_DESIGNATIONS

    @property
    def is_display(self) -> bool:
        """Whether the text may stand as the concept's display: nothing says that it is for another use."""
        if self.preferred or not self.use:
            return True
        code = self.use.get("code")
        if self.use.get("system") == SNOMED:
            return code in _SNOMED_PREFERRED
        return code == PREFERRED_FOR_LANGUAGE["code"] and self.use.get("system") == PREFERRED_FOR_LANGUAGE["system"]


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept of a code system; `code` is as the system writes it, `display` among the designations too."""

    code: str
    display: str | None = None
    definition: str | None = None
    designations: tuple[Designation, ...] = ()
    properties: tuple[Property, ...] = ()
    extensions: tuple[Json, ...] = ()
    abstract: bool = False
    inactive: bool = False
    status: str | None = None
    note: str | None = None
    """What was not checked about it, such as the sense of an expression."""


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """A property that a code system declares."""

    code: str
    uri: str | None
    type: str


@dataclass(frozen=True, slots=True)
class CodeSystemInfo:
    """What a code system says of itself.

    `closed` is False where codes follow a grammar, so that no list has them all.
    """

    url: str
    version: str | None = None
    name: str | None = None
    title: str | None = None
    status: str | None = None
    standards_status: str | None = None
    experimental: bool = False
    language: str | None = None
    content: str = "complete"
    case_sensitive: bool = True
    hierarchy_meaning: str | None = None
    compositional: bool = False
    version_needed: bool = False
    value_set: str | None = None
    version_algorithm: str | None = None
    properties: tuple[PropertyDefinition, ...] = ()
    closed: bool = True
    supplements: tuple[str, ...] = field(default=())
    """Canonicals of the supplements that were added to it."""

    @property
    def canonical(self) -> str:
        """`url|version`, or the url alone."""
        return canonical(self.url, self.version)

    def property_uri(self, code: str) -> str | None:
        """Return the uri of a property, None where the code system gives none."""
        return next((each.uri for each in self.properties if each.code == code), None)
