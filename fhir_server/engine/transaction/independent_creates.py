"""Conditional creates of a batch that may be carried out at once, because none can find what another makes.

A batch's entries may come in any order (https://hl7.org/fhir/R4/http.html#brules), but who sends the same practitioner
twice under two spellings of an identifier expects one of them: so such entries wait for each other.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.r4 import values
from fhir_server.work.threads import SMALL

MOST = 50
"""Entries at once: as many as travel in one command."""

_VALUE = re.compile(r"(?:[^|,\\ ]*\|)?([^|,\\ ]+)")
"""One identifier, with or without its system, spelt as it stands in a body."""


class IndependentCreates:
    """Entries, one after another, each a create unless an identifier is there, which no other's body mentions."""

    def __init__(self) -> None:
        self._identifiers: list[bytes] = []
        self._bodies = bytearray()
        self._closed = False

    def take(self, entry: Any) -> bool:
        """Return whether the entry is the first, or may be carried out at once with those before it."""
        identifier = _identifier(entry)
        body = b"" if identifier is None else values.encode(entry.get("resource")).lower()
        if identifier is None or len(body) > SMALL:  # what is larger waits for a thread
            first, self._closed = not self._closed and not self._identifiers, True
            return first
        full = len(self._identifiers) == MOST
        if self._closed or full or identifier in self._bodies or any(each in body for each in self._identifiers):
            return False
        self._identifiers.append(identifier)
        self._bodies += body
        return True


def _identifier(entry: Any) -> bytes | None:
    """Return the value that a conditional create asks for as the JSON that would stand in a body, in lower case.

    None for every other entry, and for criteria that mean more than one identifier, or may be spelt otherwise.
    """
    request = entry.get("request") if isinstance(entry, dict) else None
    text = request.get("ifNoneExist") if isinstance(request, dict) and request.get("method") == "POST" else None
    if not isinstance(text, str):
        return None
    match parse_qsl(text.rpartition("?")[2], keep_blank_values=True):
        case [("identifier", value)] if value.isascii() and (matched := _VALUE.fullmatch(value)):
            return values.encode(matched[1]).lower()
    return None
