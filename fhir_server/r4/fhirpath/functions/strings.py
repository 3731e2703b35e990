"""Functions on strings. https://hl7.org/fhirpath/N1/#string-manipulation"""

from __future__ import annotations

from fhir_server.r4.fhirpath.functions.registry import function, predicate
from fhir_server.r4.fhirpath.items import (
    EMPTY,
    LONGEST,
    FhirPathError,
    Items,
    grown,
    integer,
    integer_of,
    string,
    text_of,
)
from fhir_server.r4.fhirpath.regex import matches as regex_matches
from fhir_server.r4.fhirpath.regex import matches_full, replaced


@predicate("startsWith", 1)
def _starts_with(items: Items, prefix: Items) -> bool | None:
    text, start = text_of(items), text_of(prefix)
    return None if text is None or start is None else text.startswith(start)


@predicate("endsWith", 1)
def _ends_with(items: Items, suffix: Items) -> bool | None:
    text, end = text_of(items), text_of(suffix)
    return None if text is None or end is None else text.endswith(end)


@predicate("contains", 1)
def _contains(items: Items, part: Items) -> bool | None:
    text, inner = text_of(items), text_of(part)
    return None if text is None or inner is None else inner in text


@predicate("matches", 1)
def _matches(items: Items, pattern: Items) -> bool | None:
    text, regex = text_of(items), text_of(pattern)
    return None if text is None or regex is None else regex_matches(regex, text)


@predicate("matchesFull", 1)
def _matches_full(items: Items, pattern: Items) -> bool | None:
    text, regex = text_of(items), text_of(pattern)
    return None if text is None or regex is None else matches_full(regex, text)


@function("replaceMatches", 2)
def _replace_matches(items: Items, pattern: Items, substitution: Items) -> Items:
    text, regex, new = text_of(items), text_of(pattern), text_of(substitution)
    if text is None or regex is None or new is None:
        return EMPTY
    return string(replaced(regex, text, new, longest=LONGEST)) if regex else string(text)


@function("replace", 2)
def _replace(items: Items, pattern: Items, substitution: Items) -> Items:
    text, old, new = text_of(items), text_of(pattern), text_of(substitution)
    if text is None or old is None or new is None:
        return EMPTY
    if (text.count(old) + 1) * len(new) > LONGEST:
        raise FhirPathError("A string grows too long.")
    return grown(text.replace(old, new))


@function("indexOf", 1)
def _index_of(items: Items, part: Items) -> Items:
    text, inner = text_of(items), text_of(part)
    return EMPTY if text is None or inner is None else integer(text.find(inner))


@function("lastIndexOf", 1)
def _last_index_of(items: Items, part: Items) -> Items:
    text, inner = text_of(items), text_of(part)
    return EMPTY if text is None or inner is None else integer(text.rfind(inner))


@function("substring", 1, 2)
def _substring(items: Items, start: Items, length: Items | None = None) -> Items:
    text, at = text_of(items), integer_of(start)
    if text is None or at is None or not 0 <= at < len(text):
        return EMPTY
    size = None if length is None else integer_of(length)
    return string(text[at:] if size is None else text[at : at + max(size, 0)])


@function("upper")
def _upper(items: Items) -> Items:
    text = text_of(items)
    return EMPTY if text is None else string(text.upper())


@function("lower")
def _lower(items: Items) -> Items:
    text = text_of(items)
    return EMPTY if text is None else string(text.lower())


@function("trim")
def _trim(items: Items) -> Items:
    text = text_of(items)
    return EMPTY if text is None else string(text.strip())


@function("length")
def _length(items: Items) -> Items:
    text = text_of(items)
    return EMPTY if text is None else integer(len(text))


@function("toChars")
def _to_chars(items: Items) -> Items:
    return [each for character in text_of(items) or "" for each in string(character)]


@function("split", 1)
def _split(items: Items, separator: Items) -> Items:
    text, between = text_of(items), text_of(separator)
    if text is None or between is None:
        return EMPTY
    return [each for part in (text.split(between) if between else text) for each in string(part)]


@function("join", 0, 1)
def _join(items: Items, separator: Items = EMPTY) -> Items:
    if not items:
        return EMPTY
    return grown((text_of(separator) or "").join(text_of([item]) or "" for item in items))
