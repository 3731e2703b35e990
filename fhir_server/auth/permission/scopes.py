"""SMART scopes, v1 and v2: exact syntax, what each covers, and how a request is cut down to what is allowed.

A scope that is not written exactly as the specification says is no scope at all; nothing is ever rounded up.
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, cast
from urllib.parse import unquote

from fhir_server.r4.definitions import RESOURCE_TYPES, search_parameters

Level: TypeAlias = Literal["patient", "user", "system"]
Permission: TypeAlias = Literal["c", "r", "u", "d", "s"]

SIGN_IN_SCOPES = frozenset({"openid", "fhirUser", "profile", "email", "offline_access", "online_access"})
"""What says who the user is, and for how long: nothing of it is about records."""

PLAIN_SCOPES = SIGN_IN_SCOPES | {"launch", "launch/patient", "launch/encounter"}
EHR_LAUNCH = "ehr_launch"
"""A scope of this server's own: its holder, an EHR, may make `launch` values."""

NO_WILDCARD = frozenset({"AuditEvent"})
"""Types that a wildcard does not stand for, anywhere: only a scope that names one is about it."""

CONFORMANCE = frozenset({
    "CapabilityStatement", "CodeSystem", "CompartmentDefinition", "ConceptMap", "GraphDefinition",
    "ImplementationGuide", "MessageDefinition", "NamingSystem", "OperationDefinition", "SearchParameter",
    "StructureDefinition", "StructureMap", "TerminologyCapabilities", "ValueSet",
})  # fmt: skip
"""Types that say how the server itself works; who may write all records may not therefore write these."""

_RESOURCE_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.([a-z]+|\*)(?:\?(.+))?", re.ASCII | re.DOTALL)
_V2_LETTERS = re.compile(r"(?=.)c?r?u?d?s?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_V1_NAMES = {letters: name for name, letters in _V1.items()}
_ON_EVERY_TYPE = frozenset({"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"})
_TOO_WIDE = frozenset({"_content", "_text", "_list", "_has", "_type", "_query", "_filter"})


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope on resources: the level and type, the permissions in the order cruds, and granular search parameters."""

    level: Level
    type: str
    permissions: str
    parameters: tuple[tuple[str, str], ...] = ()
    query: str = ""
    """The parameters as they were written, since an app compares the scope it gets with the one it asked for."""
    v1: bool = False

    def __str__(self) -> str:
        letters = _V1_NAMES.get(self.permissions, self.permissions) if self.v1 else self.permissions
        return f"{self.level}/{self.type}.{letters}" + (f"?{self.query}" if self.query else "")

    def covers(self, permission: str, resource_type: str) -> bool:
        """Return whether the scope is about the type and has the permission; its parameters still narrow it."""
        named = self.type == resource_type or resource_type not in CONFORMANCE or permission not in "cud"
        return named and permission in self.permissions and _includes(self.type, resource_type)

    def narrowed_to(self, allowed: Scope) -> Scope | None:
        """Return the part of this scope that the other allows; None where there is none."""
        one_includes_other = _includes(self.type, allowed.type) or _includes(allowed.type, self.type)
        if self.level != allowed.level or not one_includes_other:
            return None
        letters = "".join(letter for letter in self.permissions if letter in allowed.permissions)
        if not letters:
            return None
        added = [pair for pair in allowed.parameters if pair not in self.parameters]
        query = self.query if not added else "&".join(filter(None, (self.query, allowed.query)))
        narrowed_type = allowed.type if self.type == "*" else self.type
        v1 = self.v1 and not query and letters in _V1_NAMES
        return Scope(self.level, narrowed_type, letters, (*self.parameters, *added), query, v1)


def _includes(named: str, resource_type: str) -> bool:
    """Return whether what a scope names, a type or all of them, includes the type."""
    return named == resource_type or (named == "*" and resource_type not in NO_WILDCARD)


def parse_scope(text: str) -> Scope | None:
    """Return the scope on resources that the text is, or None where it is anything else."""
    match = _RESOURCE_SCOPE.fullmatch(text)
    if match is None:
        return None
    level, resource_type, letters, query = match.groups()
    if resource_type != "*" and resource_type not in RESOURCE_TYPES:
        return None
    if letters in _V1:
        return None if query else Scope(cast(Level, level), resource_type, _V1[letters], v1=True)
    if not _V2_LETTERS.fullmatch(letters):
        return None
    parameters = _parameters(resource_type, query) if query else ()
    if parameters is None:
        return None
    return Scope(cast(Level, level), resource_type, letters, parameters, query or "")


def _parameters(resource_type: str, query: str) -> tuple[tuple[str, str], ...] | None:
    pairs = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        # Modifiers, chains and result parameters are no names of search parameters, and so are refused here.
        if not equals or not value or name not in _names(resource_type):
            return None
        pairs.append((name, unquote(value)))
    return tuple(pairs)


@cache
def _names(resource_type: str) -> frozenset[str]:
    if resource_type == "*":
        return _ON_EVERY_TYPE
    own = {parameter.code for parameter in search_parameters() if resource_type in parameter.base}
    return frozenset((own | _ON_EVERY_TYPE) - _TOO_WIDE)


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scopes of a request, a client or a token, in the order they were written."""

    resources: tuple[Scope, ...] = ()
    plain: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([*self.plain, *map(str, self.resources)])

    def __contains__(self, plain: str) -> bool:
        return plain in self.plain

    def __bool__(self) -> bool:
        return bool(self.resources or self.plain)

    def has_level(self, level: Level) -> bool:
        """Return whether any scope on resources is of the level."""
        return any(scope.level == level for scope in self.resources)

    def without_level(self, *levels: Level) -> Scopes:
        """Return the scopes but those of the levels."""
        return Scopes(tuple(scope for scope in self.resources if scope.level not in levels), self.plain)

    def without_plain(self, *names: str) -> Scopes:
        """Return the scopes but those of the names."""
        return Scopes(self.resources, tuple(name for name in self.plain if name not in names))

    def without_types(self, names: Collection[str], *, levels: Collection[Level]) -> Scopes:
        """Return the scopes but those of the levels that name one of the types."""
        kept = tuple(scope for scope in self.resources if scope.type not in names or scope.level not in levels)
        return Scopes(kept, self.plain)

    def narrowed_to(self, allowed: Scopes) -> Scopes:
        """Return what both this and `allowed` grant: never more than either."""
        parts = (part for scope in self.resources for part in _parts(scope, allowed.resources))
        resources = tuple(dict.fromkeys(parts))
        return Scopes(resources, tuple(name for name in self.plain if name in allowed.plain))

    def within(self, allowed: Scopes) -> bool:
        """Return whether each of these scopes is granted as a whole by one of the others."""
        return set(self.plain) <= set(allowed.plain) and all(
            any(_within(scope, other) for other in allowed.resources) for scope in self.resources
        )

    def picked(self, texts: Iterable[str]) -> Scopes:
        """Return those of the scopes whose text is among the given."""
        chosen = set(texts)
        return Scopes(
            tuple(scope for scope in self.resources if str(scope) in chosen),
            tuple(name for name in self.plain if name in chosen),
        )


def _parts(scope: Scope, allowed: tuple[Scope, ...]) -> list[Scope]:
    if any(_within(scope, other) for other in allowed):
        return [scope]
    return [part for other in allowed if (part := scope.narrowed_to(other)) is not None]


def _within(scope: Scope, other: Scope) -> bool:
    return (
        scope.level == other.level
        and _includes(other.type, scope.type)
        and set(scope.permissions) <= set(other.permissions)
        and set(other.parameters) <= set(scope.parameters)
    )


def parse_scopes(text: str) -> Scopes:
    """Return the scopes in a space separated list; what is none is left out, as the specification allows."""
    resources: list[Scope] = []
    plain: list[str] = []
    for word in text.split(" "):
        name = _plain(word)
        if name is not None:
            plain.append(name)
        elif (scope := parse_scope(word)) is not None:
            resources.append(scope)
    return Scopes(tuple(dict.fromkeys(resources)), tuple(dict.fromkeys(plain)))


def _plain(word: str) -> str | None:
    if word in PLAIN_SCOPES or word == EHR_LAUNCH:
        return word
    # A role asked of a launch context, which this server has none of, still asks for the context.
    name, role, _ = word.partition("?role=")
    return name if role and name in ("launch/patient", "launch/encounter") else None


def unknown(text: str) -> list[str]:
    """Return the words of the list that are no scope, for a message to who wrote it."""
    return [word for word in text.split(" ") if word and _plain(word) is None and parse_scope(word) is None]
