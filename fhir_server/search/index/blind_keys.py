"""Index keys as they are written in an encrypted database: facts as keyed hashes, so that equal facts have equal keys.

What a search asks by equality is one hash. What it asks by a beginning is a hash for each beginning, one after another:
of the first letters of a text, of the parts of a URL, of a system and then its code. So the keys of all that begins
with something begin with the same hashes, and a span of keys stays one. The order of dates, numbers and positions, and
references to resources of this server by their ids, are written as they are. docs/operate/encryption.md says what that
tells.

A hashed fact begins with a control character that no FHIR string may hold, which keeps it from being hashed again.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.ids import ID_PATTERN
from fhir_server.search.index.keys import CANONICAL, SEPARATOR, after_prefix
from fhir_server.search.params.strings import SORTED_BACKWARDS

LETTERS = 32
"""So many letters of a text have a hash each: a longer beginning is decided on the text itself."""
MARK = "\x02"
_PARTS = 32
_LETTER_BYTES = 3
_FACT_BYTES = 12
_CACHED = 32_768
_KEY = re.compile(r"((?:[A-Za-z_][\w\-]*~)*)([A-Za-z_][\w\-]*(?::[\w\-]+)?)([^\w\-:])(.*)", re.DOTALL)
_LITERAL = re.compile(rf"([A-Z][A-Za-z]+)/{ID_PATTERN}(?:/_history/{ID_PATTERN})?")
_ORDERED = frozenset("<>~!")
"""What begins facts that keep their order, and the key of what has a value and no order."""
_WORDS = frozenset({"_text", "_content"})
_POSITION = "near"
_TEXTS = re.compile(r"(?:[A-Za-z_][\w\-]*~)*(?:_text|_content)")

Span = tuple[str, str]


class BlindKeys:
    """Writes index keys under a secret of 32 bytes; each database has its own."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._beginning_of = lru_cache(1024)(self._hash_of)
        self.key = lru_cache(_CACHED)(self._search_key)
        """Returns how a key is written; one that is written so already stays as it is."""
        self._written = lru_cache(_CACHED)(self._blind)

    # --- What is written -----------------------------------------------------------------------------------------

    def keys(self, keys: Iterable[str]) -> list[str]:
        """Return the keys of a resource as they are written; those in the falling order of texts are left out."""
        written = self._written
        return [blind for key in keys if (blind := written(key))]

    def ranges(self, ranges: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Return the `ranges` of an index entry as they are written; texts are left out."""
        return {
            name: [self._range(value) for value in values]
            for name, values in ranges.items()
            if not _TEXTS.fullmatch(name)
        }

    def _range(self, value: dict[str, Any]) -> dict[str, Any]:
        if "keys" in value:
            inner = {"ranges": self.ranges(value["ranges"])} if "ranges" in value else {}
            return {**value, "keys": self.keys(value["keys"]), **inner}
        if "u" in value:
            return {**value, "u": [self.unit(unit) for unit in value["u"]]}
        return value

    def unit(self, unit: str) -> str:
        """Return how the spelling of a unit is written beside a range."""
        return unit if unit.startswith(MARK) else MARK + self._fact("unit", unit)

    def condition(self, condition: str) -> str:
        """Return how the criteria of a conditional create are written."""
        return condition if condition.startswith(MARK) else MARK + self._fact("condition", condition)

    def _blind(self, key: str) -> str:
        """Return a key as it is written; empty for one that is not."""
        match = _KEY.fullmatch(key)
        if match is None:
            return key
        marks, name, sign, fact = match.groups()
        if sign == ">" and name in SORTED_BACKWARDS:
            return ""
        return f"{marks}{name}{sign}{self._sign(name, sign, fact)}"

    def _sign(self, name: str, sign: str, fact: str) -> str:
        if sign in _ORDERED:
            return fact
        match sign:
            case "=":
                return self._equal(name, fact)
            case "|":
                system, separator, code = fact.partition(SEPARATOR)
                label = f"{name}|"
                rest = f"{SEPARATOR}{self._fact(label, fact)}" if code else separator
                return f"{MARK}{self._fact(label, system)}{rest}"
            case "$":
                first, separator, second = fact.partition(SEPARATOR)
                rest = separator + (self._blind(f"b{second}")[1:] if second else "")
                return f"{MARK}{self._fact(f'{name}$', first)}{rest}"
            case "@" if SEPARATOR not in fact:
                return self._reference("_canonical", fact)
        head, separator, amount = fact.rpartition(SEPARATOR)
        return f"{MARK}{self._fact(f'{name}{sign}', head)}{separator}{amount}" if separator else self._whole(name, fact)

    def _equal(self, name: str, fact: str) -> str:
        if name == _POSITION:
            return fact
        if f"{name}=" == CANONICAL:
            return self._reference("_canonical", fact)
        if name in _WORDS:
            return f"{MARK}{self._letters(name, fact)}"
        if name.endswith(":of-type"):
            return self._whole(name, fact)
        text, separator, exact = fact.partition(SEPARATOR)
        if separator:
            whole = self._fact(name, fact) if exact else ""
            return f"{MARK}{self._letters(name, text)}{SEPARATOR}{whole}"
        return self._reference(name, fact)

    def _reference(self, label: str, fact: str) -> str:
        """Return a fact that may be a reference, part by part of its path; of a resource of this server as it is."""
        literal = _LITERAL.fullmatch(fact)
        if literal is not None and literal[1] in RESOURCE_TYPES and label != "identifier":
            return fact
        return f"{MARK}{self._path(label, fact)}"

    def _whole(self, label: str, fact: str) -> str:
        return MARK + self._fact(label, fact)

    def _letters(self, label: str, text: str) -> str:
        state = self._beginning_of(label).copy()
        hashes = bytearray()
        for letter in text[:LETTERS]:
            state.update(letter.encode("utf-8", "surrogatepass"))
            hashes += state.copy().digest()
        # Of three bytes each: what is written of them together is what is written of each, one behind the other.
        written = _written(hashes)
        return written + self._fact(label, text) if len(text) > LETTERS else written

    def _path(self, label: str, path: str) -> str:
        if "/" not in path:
            return self._fact(label, path)
        ends = [match.end() for match in re.finditer("/", path)][:_PARTS]
        ends += [len(path)] if ends[-1] < len(path) else []
        return "".join(self._fact(label, path[:end]) for end in ends)

    def _fact(self, label: str, fact: str) -> str:
        message = f"{label}{SEPARATOR}{fact}".encode("utf-8", "surrogatepass")
        return _written(hashlib.blake2b(message, key=self._secret, digest_size=_FACT_BYTES).digest())

    def _hash_of(self, label: str) -> hashlib.blake2b:
        return hashlib.blake2b(f"{label}{SEPARATOR}".encode(), key=self._secret, digest_size=_LETTER_BYTES)

    # --- What is asked -------------------------------------------------------------------------------------------

    def _search_key(self, key: str) -> str:
        match = _KEY.fullmatch(key)
        return key if match is None or match[4].startswith(MARK) else self._blind(key)

    def span(self, low: str, high: str) -> Span | None:
        """Return the span of written keys that holds those of the keys from `low` until before `high`, and no others.

        None where there is none: then what lies between the two is decided on the keys themselves.
        """
        match = _KEY.fullmatch(low)
        if match is None or match[4].startswith(MARK) or low >= high:
            return low, high
        marks, name, sign, fact = match.groups()
        if sign == ">" and name in SORTED_BACKWARDS:
            return None
        if sign in _ORDERED or name == _POSITION:
            return low, high
        beginning = self._beginning(name, sign, fact) if high == after_prefix(low) else None
        if beginning is not None:
            written = f"{marks}{name}{sign}{beginning}"
            return written, after_prefix(written)
        return self._amounts(low, high) if sign in "@^" else self._seconds(low, high) if sign == "$" else None

    def _beginning(self, name: str, sign: str, fact: str) -> str | None:
        """Return what the written facts begin with that begin with a fact; None where they have nothing in common."""
        if not fact:
            return ""
        if sign in "|$":
            system, separator, rest = fact.partition(SEPARATOR)
            return f"{MARK}{self._fact(f'{name}{sign}', system)}{SEPARATOR}" if separator and not rest else None
        text, separator, rest = fact.partition(SEPARATOR)
        if sign != "=" or rest:
            return None
        if separator:
            return f"{MARK}{self._letters(name, text)}{SEPARATOR}"
        if fact.partition("/")[0] in RESOURCE_TYPES and "/" in fact and name != "identifier":
            return fact  # references to resources of this server
        if fact.endswith("/"):
            return None if fact.count("/") > _PARTS else f"{MARK}{self._path(name, fact)}"
        letters = len(fact) <= LETTERS and any(map(str.isalnum, fact))
        return f"{MARK}{self._letters(name, fact)}" if letters else None

    def _amounts(self, low: str, high: str) -> Span | None:
        """Return the span between two amounts in one unit."""
        first, separator, _ = low.rpartition(SEPARATOR)
        if not separator or high.rpartition(SEPARATOR)[0] != first:
            return None
        _, _, from_amount = low.rpartition(SEPARATOR)
        _, _, to_amount = high.rpartition(SEPARATOR)
        family, _, _ = self._blind(f"{first}{SEPARATOR}").rpartition(SEPARATOR)
        return f"{family}{SEPARATOR}{from_amount}", f"{family}{SEPARATOR}{to_amount}"

    def _seconds(self, low: str, high: str) -> Span | None:
        """Return the span between two second parts of a composite, of one first part."""
        first, _, second = low.partition(SEPARATOR)
        other_first, _, other = high.partition(SEPARATOR)
        if first != other_first or not second or not other:
            return None
        inner = self.span(f"b{second}", f"b{other}")
        family = self._blind(f"{first}{SEPARATOR}")
        return None if inner is None else (family + inner[0][1:], family + inner[1][1:])


def _written(hashed: bytes | bytearray) -> str:
    return binascii.b2a_base64(hashed, newline=False).decode()
