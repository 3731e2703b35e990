"""Code systems of ISO that are lists: countries and currencies.

https://terminology.hl7.org/ISO3166Part1.html, https://terminology.hl7.org/4.0.0/CodeSystem-v3-iso4217.html
"""

from __future__ import annotations

from terminology.content.code_systems import ResourceCodeSystem
from terminology.systems.iso import names

COUNTRIES = "urn:iso:std:iso:3166"
SUBDIVISIONS = "urn:iso:std:iso:3166:-2"
CURRENCIES = "urn:iso:std:iso:4217"


def countries() -> ResourceCodeSystem:
    """Return ISO 3166-1: each country by its codes of two letters, of three, and of three digits."""
    return _listed(COUNTRIES, "ISO3166Part1", "ISO 3166-1 codes for countries", names("countries"))


def subdivisions() -> ResourceCodeSystem:
    """Return ISO 3166-2: the parts of countries."""
    return _listed(SUBDIVISIONS, "ISO3166Part2", "ISO 3166-2 codes for subdivisions", names("subdivisions"))


def currencies() -> ResourceCodeSystem:
    """Return ISO 4217: currencies by their codes of three letters."""
    return _listed(CURRENCIES, "ISO4217", "ISO 4217 codes for currencies", names("currencies"))


def _listed(url: str, name: str, title: str, displays: dict[str, str]) -> ResourceCodeSystem:
    return ResourceCodeSystem(
        {
            "resourceType": "CodeSystem",
            "url": url,
            "name": name,
            "title": title,
            "status": "active",
            "language": "en",
            "caseSensitive": True,
            "content": "complete",
            "concept": [{"code": code, "display": display} for code, display in displays.items()],
        }
    )
