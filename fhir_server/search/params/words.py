"""Text search: `_text` in the narrative, `_content` in all text that people read.
https://hl7.org/fhir/R4/search.html#content

What is no language but a name of something (references, identifiers, contact points, units) has parameters of its own
and is left out.

Keys: `_text=asthma`, `_content=asthma`, one for each different word. What stands in the narrative is not written again
for `_content`, which is searched through both. Texts of several words are kept in `ranges`, folded, for phrases: the
words narrow what is read, and the text decides.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.errors import TooLarge
from fhir_server.r4.definitions import table
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import after_prefix
from fhir_server.search.params.strings import fold
from fhir_server.search.params.text_query import Joined, Negated, Part, Words, parse_text
from fhir_server.search.query.conditions import NOTHING, Condition, HasKey, HasText, KeySpan, Not, either, every

TEXT, CONTENT = "_text", "_content"
NAMES = frozenset({TEXT, CONTENT})
_LONGEST_WORD = 60
MOST_WORDS = 5000
_MOST_ASKED = 100
"""Words of a search."""

MOST_TEXT = 200_000
"""Characters of text that are kept for phrases: an index entry must fit into a document whatever the resource holds."""

WITHOUT_PHRASES = frozenset({"AuditEvent"})
"""Types whose texts are not kept: there are many events, and what they say is in codes."""
_TAG = re.compile(r"<[^<>]*>")
_TEXTS = frozenset({"string", "markdown"})
_NAMES = frozenset({"Reference.reference", "Identifier.value", "ContactPoint.value", "Quantity.unit", "Money.currency"})


@lru_cache(maxsize=16384)
def words(text: str) -> tuple[str, ...]:
    """Return the different words of a text, as they stand in keys."""
    return tuple(dict.fromkeys(word[:_LONGEST_WORD] for word in _folded(text).split()))


def _folded(text: str) -> str:
    """Return a text of any length folded: piece by piece, as folding cuts what is longer than a string's key."""
    if len(text) <= _PIECE:
        return fold(text)
    return " ".join(fold(piece[0]) for piece in _PIECES.finditer(text))


_PIECE = 1000
_PIECES = re.compile(r"\S.{0,999}(?!\S)|\S{1,1000}", re.DOTALL)


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
    """Write the words of a resource, and its texts of several words."""
    narrative: set[str] = set()
    text = resource.get("text")
    if isinstance(text, dict) and isinstance(text.get("div"), str):
        narrative.add(html.unescape(_TAG.sub(" ", text["div"])))
    content: set[str] = set()
    _collect(resource, resource["resourceType"], content)
    in_narrative = {word for text in narrative for word in words(text)}
    in_content = {word for text in content for word in words(text)} - in_narrative
    entry.keys.extend(f"{TEXT}={word}" for word in sorted(in_narrative)[:MOST_WORDS])
    entry.keys.extend(f"{CONTENT}={word}" for word in sorted(in_content)[:MOST_WORDS])
    if resource["resourceType"] not in WITHOUT_PHRASES:
        _write_phrases(TEXT, narrative, entry)
        _write_phrases(CONTENT, content, entry)


def _write_phrases(name: str, texts: set[str], entry: Entry) -> None:
    kept, room = [], MOST_TEXT
    for text in sorted({text for text in map(_folded, texts) if " " in text}):
        kept.append({"t": f" {text[:room]} "})
        room -= len(text)
        if room <= 0:
            break
    if kept:
        entry.ranges[name] = kept


def _collect(node: dict[str, Any], type_name: str, collected: set[str]) -> None:
    texts, below = _texts_of(type_name)
    for name in texts:
        value = node.get(name)
        if value is not None:
            for each in value if value.__class__ is list else (value,):
                if each.__class__ is str:
                    collected.add(each)
    for name, inner in below:
        value = node.get(name)
        if value is not None:
            for each in value if value.__class__ is list else (value,):
                if each.__class__ is dict:
                    _collect(each, each.get("resourceType", inner) if inner == "Resource" else inner, collected)


def condition(resource_type: str, name: str, value: str) -> Condition:
    """Return what a value asks; a word that ends in `*` may go on.

    Raises ValueError where it cannot be read, TooLarge where it has too many words.
    """
    part = parse_text(value)
    if _size(name, part) > _MOST_ASKED:
        raise TooLarge(f"{name} takes at most {_MOST_ASKED} words.", code="too-costly")
    return _condition(resource_type, name, part) or NOTHING


def _size(name: str, part: Part) -> int:
    """Return how many words a part has."""
    match part:
        case Negated(inner):
            return _size(name, inner)
        case Joined(_, parts):
            return sum(_size(name, each) for each in parts)
        case Words(text):
            return len(_keys(name, text))


def _condition(resource_type: str, name: str, part: Part) -> Condition | None:
    """Return what a part asks; None where it has no letters or digits, and so asks nothing."""
    match part:
        case Negated(inner):
            inner_condition = _condition(resource_type, name, inner)
            return None if inner_condition is None else Not(inner_condition)
        case Joined(operator, parts):
            several = [
                inner_condition
                for each in parts
                if (inner_condition := _condition(resource_type, name, each)) is not None
            ]
            if not several:
                return None
            return every(several) if operator == "and" else either(several)
        case Words(text, phrase):
            return _words(resource_type, name, text, phrase=phrase)


def _words(resource_type: str, name: str, text: str, *, phrase: bool) -> Condition | None:
    keys = _keys(name, text)
    if not keys:
        return None
    matching = every([HasKey(each) for each in keys[:-1]] + [_last(keys[-1], text, phrase=phrase)])
    if not phrase or len(keys) == 1:
        return matching
    if resource_type in WITHOUT_PHRASES:
        raise ValueError(f"phrases are not searched in {resource_type}")
    sought = f" {fold(text)} "
    together = either([HasText(each, sought) for each in _names_of(name)])
    return every([matching, together])


def _last(keys: tuple[str, ...], text: str, *, phrase: bool) -> Condition:
    """Return the condition of the last word, of which others may be the beginning."""
    if text.endswith("*") and not phrase:
        return either([KeySpan(key, after_prefix(key)) for key in keys])
    return HasKey(keys)


def _names_of(name: str) -> tuple[str, ...]:
    return (TEXT, CONTENT) if name == CONTENT else (TEXT,)


def _keys(name: str, text: str) -> list[tuple[str, ...]]:
    split = fold(text).split() if any(map(str.isalnum, text)) else []
    return [tuple(f"{each}={word[:_LONGEST_WORD]}" for each in _names_of(name)) for word in split]


def keys_of(name: str, value: str) -> list[tuple[str, ...]]:
    """Return, for each word that a value asks for, the keys of which a resource that has the word has one."""
    return _keys_of_part(name, parse_text(value))


def _keys_of_part(name: str, part: Part) -> list[tuple[str, ...]]:
    match part:
        case Joined(_, parts):
            return [keys for each in parts for keys in _keys_of_part(name, each)]
        case Words(text):
            return _keys(name, text)
    return []
