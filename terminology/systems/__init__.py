"""Code systems whose codes follow a rule instead of a list: UCUM, languages, countries, currencies, MIME types."""

from __future__ import annotations

from terminology.content.provider import CodeSystem
from terminology.systems.languages import Languages
from terminology.systems.listed import countries, currencies, subdivisions
from terminology.systems.mime_types import MimeTypes

__all__ = ["rule_based_systems"]


def rule_based_systems() -> list[CodeSystem]:
    """Return the code systems that need nothing from outside: all but UCUM, whose grammar `ucum.Ucum` takes."""
    return [Languages(), MimeTypes(), countries(), subdivisions(), currencies()]
