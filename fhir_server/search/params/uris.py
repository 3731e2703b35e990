"""Uri parameters: exact, or by the part of a path. https://hl7.org/fhir/R4/search.html#uri"""

from __future__ import annotations

from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import after_prefix, clean
from fhir_server.search.query.conditions import Condition, HasKey, KeySpan, either


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys of a uri parameter."""
    for item in items:
        if isinstance(item.value, str):
            entry.keys.append(f"{name}={clean(item.value)}")


def condition(name: str, modifier: str | None, uri: str) -> Condition:
    """Return what a uri asks; the modifier is None, below or above."""
    key = f"{name}={clean(uri)}"
    if modifier is None or uri.startswith("urn:"):
        return HasKey((key,))
    if modifier == "above":
        return HasKey(tuple(f"{name}={clean(part)}" for part in _above(uri)))
    if uri.endswith("/"):
        return KeySpan(key, after_prefix(key))
    return either([HasKey((key,)), KeySpan(f"{key}/", after_prefix(f"{key}/"))])


def _above(uri: str) -> list[str]:
    """Return the uri and every shorter path that leads to it, with and without a slash at its end."""
    scheme, separator, rest = uri.partition("://")
    segments = (rest if separator else uri).rstrip("/").split("/")[:100]
    start = f"{scheme}{separator}" if separator else ""
    paths = ["/".join(segments[:length]) for length in range(len(segments), 0, -1)]
    return [uri, *(f"{start}{path}{end}" for path in paths for end in ("", "/") if f"{start}{path}{end}" != uri)]
