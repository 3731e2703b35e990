"""Text search: `_text` in the narrative, `_content` in all text that people read.
https://hl7.org/fhir/R4/search.html#content

What is no language but a name of something (references, identifiers, contact points, units) has parameters of its own
and is left out.

Keys: `_text=asthma`, `_content=asthma`, one for each different word. What stands in the narrative is not written again
for `_content`, which is searched through both.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.errors import TooLarge
from fhir_server.r4.definitions import table
from fhir_server.search.conditions import NOTHING, Condition, HasKey, KeySpan, either, every
from fhir_server.search.entry import Entry
from fhir_server.search.keys import after_prefix
from fhir_server.search.params.strings import fold

TEXT, CONTENT = "_text", "_content"
NAMES = frozenset({TEXT, CONTENT})
_LONGEST_WORD = 60
MOST_WORDS = 5000
_MOST_ASKED = 100
"""Words of a search."""
_TAG = re.compile(r"<[^<>]*>")
_TEXTS = frozenset({"string", "markdown"})
_NAMES = frozenset({"Reference.reference", "Identifier.value", "ContactPoint.value", "Quantity.unit", "Money.currency"})


@lru_cache(maxsize=16384)
def words(text: str) -> tuple[str, ...]:
    """Return the different words of a text, as they stand in keys."""
    return tuple(dict.fromkeys(word[:_LONGEST_WORD] for word in fold(text).split()))


class _Texts(NamedTuple):
    """Of a type: the properties that hold text, and those below which there may be some, with their types."""

    texts: tuple[str, ...]
    below: tuple[tuple[str, str], ...]


@lru_cache(maxsize=1024)
def _texts_of(type_name: str) -> _Texts:
    elements = table(type_name).elements.values()
    texts = [each.name for each in elements if each.type in _TEXTS and f"{type_name}.{each.name}" not in _NAMES]
    below = [each for each in elements if not each.primitive and each.type not in {"Meta", "Narrative"}]
    return _Texts(tuple(texts), tuple((each.name, each.type) for each in below if _has_texts(each.type, ())))


@lru_cache(maxsize=4096)
def _has_texts(type_name: str, above: tuple[str, ...]) -> bool:
    """Return whether a type can hold text at any depth."""
    if type_name in above:
        return False
    if type_name in {"Resource", "Extension"}:
        return True
    elements = table(type_name).elements.values()
    if any(each.type in _TEXTS and f"{type_name}.{each.name}" not in _NAMES for each in elements):
        return True
    inner = {each.type for each in elements if not each.primitive and each.name != "extension"}
    return any(_has_texts(each, (*above, type_name)) for each in inner - {"Meta", "Narrative"})


def index(resource: dict[str, Any], entry: Entry) -> None:
    """Write the words of a resource."""
    narrative: set[str] = set()
    text = resource.get("text")
    if isinstance(text, dict) and isinstance(text.get("div"), str):
        narrative.update(words(html.unescape(_TAG.sub(" ", text["div"]))))
    content: set[str] = set()
    _collect(resource, resource["resourceType"], content)
    content -= narrative
    entry.keys.extend(f"{TEXT}={word}" for word in sorted(narrative)[:MOST_WORDS])
    entry.keys.extend(f"{CONTENT}={word}" for word in sorted(content)[:MOST_WORDS])


def _collect(node: dict[str, Any], type_name: str, found: set[str]) -> None:
    texts, below = _texts_of(type_name)
    for name in texts:
        value = node.get(name)
        if value is not None:
            for each in value if value.__class__ is list else (value,):
                if each.__class__ is str:
                    found.update(words(each))
    for name, inner in below:
        value = node.get(name)
        if value is not None:
            for each in value if value.__class__ is list else (value,):
                if each.__class__ is dict:
                    _collect(each, each.get("resourceType", inner) if inner == "Resource" else inner, found)


def condition(name: str, text: str) -> Condition:
    """Return the condition that all words of the text occur; one that ends in `*` may go on."""
    asked_for = asked(name, text)
    if len(asked_for) > _MOST_ASKED:
        raise TooLarge(f"{name} takes at most {_MOST_ASKED} words.", code="too-costly")
    words = [_condition(keys, text) for keys in asked_for]
    return every(words) if words else NOTHING


def asked(name: str, text: str) -> list[tuple[str, ...]]:
    """Return, for each word of a text, the keys of which a resource that has the word has one."""
    names = (TEXT, CONTENT) if name == CONTENT else (TEXT,)
    return [tuple(f"{each}={word[:_LONGEST_WORD]}" for each in names) for word in fold(text).split()]


def _condition(keys: tuple[str, ...], text: str) -> Condition:
    prefixes = {word.rstrip("*") for word in text.split() if word.endswith("*")}
    if any(fold(prefix) == keys[0].partition("=")[2] for prefix in prefixes if prefix):
        return either([KeySpan(key, after_prefix(key)) for key in keys])
    return HasKey(keys)
