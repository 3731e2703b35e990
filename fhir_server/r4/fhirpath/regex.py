"""Regular expressions that callers write: matched in linear time, so that none can be made to run for ages.

RE2 has no back-references and no look-around, which FHIRPath does not promise; everything else of the usual syntax is
there. Never give such a text to `re`. https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import re2

from fhir_server.r4.fhirpath.items import FhirPathError
from fhir_server.work.budget import spend

_LONGEST = 2000
"""Characters of a pattern."""
_MEMORY = 1024 * 1024
"""Bytes that a compiled pattern and its matching may take."""
_MOST_READ = 20_000_000
"""Characters that one replacement may read in all: each match may look at the whole rest of the text."""

_OPTIONS = re2.Options()
_OPTIONS.max_mem = _MEMORY
_OPTIONS.dot_nl = True
_OPTIONS.log_errors = False

# FHIRPath refers to groups as $1 or ${name}.
_GROUP = re.compile(r"\$(?:(\d{1,3})|\{(\w+)\})")


def matches(pattern: str, text: str) -> bool:
    """Return whether any part of the text matches; raise FhirPathError for what is no such pattern."""
    _spend(text)
    return _compiled(pattern).search(text) is not None


def matches_full(pattern: str, text: str) -> bool:
    """Return whether the text as a whole matches; raise FhirPathError for what is no such pattern."""
    _spend(text)
    return _compiled(pattern).fullmatch(text) is not None


def replaced(pattern: str, text: str, substitution: str, *, longest: int) -> str:
    """Return the text with every match replaced; `$1` and `${name}` stand for what groups matched.

    Raises FhirPathError for a pattern or substitution that is none, and where the result is longer than `longest`.
    """
    regex = _compiled(pattern)
    expand = _expansion(substitution, regex.groups, regex.groupindex)
    parts: list[str] = []
    end, size, read = 0, 0, 0
    for match in regex.finditer(text):
        part = text[end : match.start()] + expand(match)
        end = match.end()
        parts.append(part)
        size += len(part)
        read += len(text) - end
        spend(1 + ((len(text) - end) >> 7))
        if size > longest or read > _MOST_READ:
            raise FhirPathError("A replacement grows too long, or takes too long to find.")
    return "".join([*parts, text[end:]])


def _spend(text: str) -> None:
    spend(1 + (len(text) >> 7))


def _expansion(substitution: str, groups: int, names: dict[str, int]) -> Callable[[re2._Match], str]:
    """Return what makes the text that stands for a match."""
    pieces: list[str | int] = []
    end = 0
    for reference in _GROUP.finditer(substitution):
        group = int(reference[1]) if reference[1] else names.get(reference[2], groups + 1)
        if group > groups:
            raise FhirPathError(f"The substitution {substitution[:200]!r} names a group that the pattern lacks.")
        pieces += [substitution[end : reference.start()], group]
        end = reference.end()
    pieces.append(substitution[end:])
    return lambda match: "".join(each if isinstance(each, str) else match.group(each) or "" for each in pieces)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re2._Regexp:
    if len(pattern) > _LONGEST:
        raise FhirPathError(f"A regular expression has at most {_LONGEST} characters.")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise FhirPathError(
            f"{pattern!r} is not a regular expression that is matched in linear time (RE2): {reason}."
        ) from error
    except UnicodeEncodeError as error:
        raise FhirPathError("The regular expression has a character that is none.") from error
