"""Value sets, as their resources define them. https://hl7.org/fhir/R4/valueset.html#compositions"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cmp_to_key
from typing import Any

from terminology.model.concepts import CodeSystemInfo, Designation, Json
from terminology.model.effort import effort
from terminology.model.versions import canonical, compare

EXPANSION_PARAMETER = "http://hl7.org/fhir/StructureDefinition/valueset-expansion-parameter"
_EXPANSION_PARAMETERS = {EXPANSION_PARAMETER, EXPANSION_PARAMETER.replace("/fhir/", "/fhir/tools/")}
SUPPLEMENT = "http://hl7.org/fhir/StructureDefinition/valueset-supplement"
STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
DEPRECATED = "http://hl7.org/fhir/StructureDefinition/valueset-deprecated"
_FIVE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.compose."
_OPERATORS = {_FIVE + "include.filter.op", _FIVE + "exclude.filter.op"}


@dataclass(frozen=True, slots=True)
class StatedFilter:
    """A filter as a value set states it; without a value it means nothing."""

    property: str
    op: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ConceptReference:
    """A concept that a value set lists, with texts and extensions of its own."""

    code: str
    display: str | None = None
    designations: tuple[Designation, ...] = ()
    extensions: tuple[Json, ...] = ()

    @property
    def deprecation(self) -> str | None:
        """The status by which the value set discourages the concept."""
        status = _extension(self.extensions, STANDARDS_STATUS)
        if status in ("deprecated", "withdrawn"):
            return str(status)
        return "deprecated" if any(each.get("url") == DEPRECATED for each in self.extensions) else None


@dataclass(frozen=True, slots=True)
class Include:
    """An include or exclude: codes of one system, and in all of the value sets; `path` is where it stands."""

    path: str
    system: str | None
    version: str | None
    concepts: tuple[ConceptReference, ...] | None
    filters: tuple[StatedFilter, ...]
    value_sets: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether all codes of the system are meant."""
        return self.concepts is None and not self.filters

    def reference(self, code: str) -> ConceptReference | None:
        """Return the concept of the list with this code."""
        return next((each for each in self.concepts or () if each.code == code), None)


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A value set; `resource` is what it was read from, `contained` whether within another resource."""

    resource: Json
    url: str
    version: str | None
    status: str | None
    standards_status: str | None
    experimental: bool
    language: str | None
    includes: tuple[Include, ...]
    excludes: tuple[Include, ...]
    inactive: bool | None
    locked_date: str | None
    composed: bool
    contained: bool = False

    @property
    def canonical(self) -> str:
        """`url|version`, or the url alone."""
        return canonical(self.url, self.version)

    @property
    def described(self) -> str:
        """The value set as messages name it."""
        return self.canonical or "(unidentified)"

    @property
    def active_only(self) -> bool:
        """Whether it leaves out inactive codes."""
        return self.inactive is False

    @property
    def expansion(self) -> Json | None:
        """The stored expansion."""
        return self.resource.get("expansion")

    @property
    def modified_at(self) -> str | None:
        """Where it has a modifier extension, which may turn its meaning around; None where it has none."""
        compose = self.resource.get("compose") or {}
        places = [("ValueSet", self.resource), ("ValueSet.compose", compose)]
        for name in ("include", "exclude"):
            for index, part in enumerate(compose.get(name, ())):
                path = f"ValueSet.compose.{name}[{index}]"
                places += [(path, part), *((f"{path}.filter", each) for each in part.get("filter", ()))]
                places += [(f"{path}.concept", each) for each in part.get("concept", ())]
        return next((path for path, element in places if element.get("modifierExtension")), None)

    @property
    def supplements(self) -> list[str]:
        """The supplements that it needs."""
        return [
            str(value)
            for each in self.resource.get("extension", ())
            if each.get("url") == SUPPLEMENT and (value := _value(each))
        ]

    @property
    def parameters(self) -> Iterator[tuple[str, Any]]:
        """The expansion parameters that it sets, with names and values."""
        compose = self.resource.get("compose", {})
        for extension in compose.get("extension", ()):
            if extension.get("url") in _EXPANSION_PARAMETERS:
                parts = extension.get("extension", ())
                name, value = _extension(parts, "name"), _extension(parts, "value")
                if name and value is not None:
                    yield str(name), value
        for name in compose.get("property", ()):
            yield "property", name

    @property
    def several_versions(self) -> bool:
        """Whether it speaks of one system in several versions, so that a code alone is not a member."""
        seen: dict[str, str | None] = {}
        parts = [each for each in (*self.includes, *self.excludes) if each.system]
        return any(seen.setdefault(each.system or "", each.version) != each.version for each in parts)

    @property
    def excludes_other_versions(self) -> bool:
        """Whether all that is excluded is of the same system as what is included, in other versions: then a code is
        excluded whatever its version.
        """
        systems = {each.system for each in (*self.includes, *self.excludes)}
        included = {each.version for each in self.includes}
        excluded = {each.version for each in self.excludes}
        one_system = len(systems) == 1 and None not in systems
        return bool(one_system and excluded and None not in included | excluded and not included & excluded)


def value_set_of(info: CodeSystemInfo) -> ValueSet:
    """Return the value set of all codes of a code system, which needs no resource."""
    part = Include("CodeSystem", info.url, info.version, None, (), ())
    resource = {"resourceType": "ValueSet", "url": info.value_set or f"{info.url}/vs", "status": "active"}
    if info.version:
        resource["version"] = info.version
    compose = {"system": info.url, **({"version": info.version} if info.version else {})}
    stated = read_value_set({**resource, "compose": {"include": [compose]}})
    return replace(stated, experimental=True, includes=(part,))


def read_value_set(resource: Json, *, contained: bool = False) -> ValueSet:
    """Return the value set that a resource defines."""
    compose = resource.get("compose") or {}
    status = _extension(resource.get("extension", ()), STANDARDS_STATUS)
    return ValueSet(
        resource=resource,
        url=resource.get("url", ""),
        version=resource.get("version"),
        status=resource.get("status"),
        standards_status=str(status) if status else None,
        experimental=bool(resource.get("experimental")),
        language=resource.get("language"),
        includes=tuple(_parts(compose, "include")),
        excludes=tuple(_parts(compose, "exclude")),
        inactive=compose.get("inactive"),
        locked_date=compose.get("lockedDate"),
        composed="compose" in resource,
        contained=contained,
    )


def _parts(compose: Json, name: str) -> Iterator[Include]:
    for index, part in enumerate(compose.get(name, ())):
        effort(1 + len(part.get("concept", ())) + len(part.get("filter", ())))
        yield Include(
            path=f"ValueSet.compose.{name}[{index}]",
            system=part.get("system"),
            version=part.get("version"),
            concepts=tuple(map(_reference, part["concept"])) if part.get("concept") else None,
            filters=tuple(map(_filter, part.get("filter", ()))),
            value_sets=tuple(part.get("valueSet", ())),
        )


def _reference(concept: Json) -> ConceptReference:
    designations = (
        Designation(
            each["value"].strip(),
            each.get("language"),
            each.get("use"),
            status=str(_extension(each.get("extension", ()), STANDARDS_STATUS) or "active"),
            extensions=tuple(each.get("extension", ())),
        )
        for each in concept.get("designation", ())
        if each.get("value")
    )
    display = (concept.get("display") or "").strip() or None
    return ConceptReference(concept.get("code", ""), display, tuple(designations), tuple(concept.get("extension", ())))


def _filter(element: Json) -> StatedFilter:
    hidden = [*element.get("extension", ()), *element.get("_op", {}).get("extension", ())]
    op = next((_value(each) for each in hidden if each.get("url") in _OPERATORS), None)
    return StatedFilter(element.get("property", ""), str(op or element.get("op", "")), element.get("value"))


def _extension(extensions: Any, url: str) -> Any:
    return next((_value(each) for each in extensions if each.get("url") == url), None)


def _value(extension: Json) -> Any:
    return next((value for name, value in extension.items() if name.startswith("value")), None)


def newest_first(parts: tuple[Include, ...]) -> list[Include]:
    """Return the includes in their order, but those of one system with the newest version first."""
    ordered = list(parts)
    places: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        if part.system and part.version:
            places.setdefault(part.system, []).append(index)
    for indices in places.values():
        versioned = [parts[index] for index in indices]
        versioned.sort(key=cmp_to_key(lambda one, other: compare(other.version or "", one.version or "")))
        for index, part in zip(indices, versioned, strict=True):
            ordered[index] = part
    return ordered
