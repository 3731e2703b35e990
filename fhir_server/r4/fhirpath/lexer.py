"""The tokens of a FHIRPath expression. https://hl7.org/fhirpath/N1/#lexical-elements"""

from __future__ import annotations

import re
from typing import NamedTuple

from fhir_server.r4.fhirpath.items import FhirPathError

_TIME = r"\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?"
_TOKEN = re.compile(
    rf"""(?P<skip>[ \t\r\n]+|/\*(?s:.*?)\*/|//[^\r\n]*)
    |(?P<time>@T{_TIME})
    |(?P<datetime>@\d{{4}}(?:-\d\d(?:-\d\d)?)?T(?:(?<=-\d\d-\d\dT){_TIME})?(?:Z|[+-]\d\d:\d\d)?)
    |(?P<date>@\d{{4}}(?:-\d\d(?:-\d\d)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<delimited>`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<variable>\$(?:this|index|total)\b)
    |(?P<symbol><=|>=|!=|!~|[.\[\](){{}},+\-*/&|<>=~%])""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}


class Token(NamedTuple):
    """A token: `kind` is a group of the lexical grammar, `text` is without quotes and escapes."""

    kind: str
    text: str
    position: int


def tokens(expression: str) -> list[Token]:
    """Return the tokens of an expression, an `end` token last; raise FhirPathError where there is none."""
    read: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise FhirPathError(f"Unexpected {expression[position]!r} at character {position + 1} of {expression!r}.")
        kind = match.lastgroup or ""
        if kind != "skip":
            read.append(Token(kind, _text(kind, match[0]), position))
        position = match.end()
    read.append(Token("end", "the end of the expression", position))
    return read


def _text(kind: str, source: str) -> str:
    if kind in ("string", "delimited"):
        return _ESCAPE.sub(_unescape, source[1:-1])
    return source


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    if code not in _ESCAPED:
        raise FhirPathError(f"The escape \\{code} does not exist in FHIRPath.")
    return _ESCAPED[code]
