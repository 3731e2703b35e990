"""What the text of a reference names: the one place that reads `Reference.reference`, and URLs meant like one.

A literal reference is `[base/]type/id[/_history/version]` and nothing else. Any other URI (an id alone, an operation, a
query, a part of a resource) may be stored, and names no resource: nothing follows it, and no right rests on it.
https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.ids import ID_PATTERN

_LITERAL = re.compile(rf"(https?://[^\s?#]+/)?([A-Z][A-Za-z]+)/({ID_PATTERN})(?:/_history/({ID_PATTERN}))?")
_VERSIONED = re.compile(rf"(\S+)/_history/{ID_PATTERN}")
_MENTION = re.compile(rf"([A-Z][A-Za-z]+/{ID_PATTERN})(?:[/?#]|\Z)")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(\S+)")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")


class Literal(NamedTuple):
    """A literal reference in its parts: `base` ends with a slash, and is empty for what is on this server."""

    base: str
    type: str
    id: str
    version: str | None = None

    @property
    def resource(self) -> str:
        """The same without a version: "Patient/1", or the URL of the resource on another server."""
        return f"{self.base}{self.type}/{self.id}"


def literal(text: object, base_url: str = "") -> Literal | None:
    """Return what a literal reference names, here or on another server; None for any other text.

    What stands below `base_url`, the base of this server, is the same as relative to it.
    """
    match = _LITERAL.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in RESOURCE_TYPES:
        return None
    base = match[1] or ""
    return Literal("" if base_url and base == f"{base_url}/" else base, match[2], match[3], match[4])


def local(text: object, base_url: str = "") -> Literal | None:
    """Return what a literal reference names on this server; None for any other text."""
    target = literal(text, base_url)
    return None if target is None or target.base else target


def mentioned(text: object, base_url: str = "") -> str | None:
    """Return the resource of this server whose URL the text is or goes on from, as "Patient/1"; None for other texts.

    Only to take out whom a text tells of: what goes on from a resource's URL names something else.
    """
    match = _MENTION.match(text.removeprefix(f"{base_url}/")) if isinstance(text, str) else None
    return match[1] if match else None


def unversioned(url: str) -> str | None:
    """Return the URL of the resource whose version a URL names, be it a URN within a bundle; None for other texts."""
    match = _VERSIONED.fullmatch(url)
    return match[1] if match and "/_history/" not in match[1] else None


def conditional(text: str) -> tuple[str, str] | None:
    """Return the type and the criteria of a conditional reference, "Patient?identifier=1"; None for any other text.

    Only a transaction resolves them. https://hl7.org/fhir/R4/http.html#trules
    """
    match = _CONDITIONAL.fullmatch(text)
    return (match[1], match[2]) if match and match[1] in RESOURCE_TYPES else None


def is_absolute(text: str) -> bool:
    """Return whether the text is a URI with a scheme."""
    return _ABSOLUTE.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """Return whether the text has only characters of a URI, relative or not. https://www.rfc-editor.org/rfc/rfc3986"""
    return _URI.fullmatch(text) is not None
