"""What a check has found in a row: a fault that refuses the row, or something that the report only notes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from fhir_server.errors import Issue

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a column; the row is refused for it, or taken, without the value where that is left out."""

    column: str
    reason: str
    refused: bool = True
    left_out: bool = False

    def issue(self, table: str, text: str | None = None) -> Issue:
        """Return what the report says; `text` is the cell, of which only the class is told."""
        severity, code = ("error", "value") if self.refused else ("information", "informational")
        is_told = "; the row is taken without it" if self.left_out else ""
        held = f" (the cell holds {value_class(text)})" if text is not None else ""
        reason = f"{self.column}: {self.reason}{is_told}{held}."
        return Issue(code, reason, (f"{table}.{self.column}",), severity)


def noted(column: str, reason: str) -> Finding:
    """Return what the report only notes."""
    return Finding(column, reason, refused=False)


def left_out(column: str, reason: str) -> Finding:
    """Return what the report notes of a value that is not taken."""
    return Finding(column, reason, refused=False, left_out=True)


def value_class(text: str | None) -> str:
    """Return what kind of value a cell holds, in words that tell nobody's data."""
    stripped = (text or "").strip()
    if not stripped:
        return "nothing"
    if _DAY.fullmatch(stripped):
        return "a date"
    if _DAY.match(stripped):
        return "a time"
    if _CLOCK.fullmatch(stripped):
        return "a time of day"
    try:
        number = Decimal(stripped)
    except InvalidOperation:
        return "a text"
    if not number.is_finite():
        return "no finite number"
    return "a negative number" if number < 0 else "a number"
