"""Value sets that a code system has without a resource that says so: SNOMED CT's `?fhir_vs`, and LOINC's `/vs`.

https://terminology.hl7.org/SNOMEDCT.html, https://terminology.hl7.org/LOINC.html
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
_SNOMED = re.compile(
    r"http://snomed\.info/sct(?P<edition>/\d{1,18}(?:/version/\d{1,8})?)?\?fhir_vs(?:=(?P<what>.*))?", re.DOTALL
)
_LOINC = re.compile(r"http://loinc\.org/vs(?:/(?P<code>LL[0-9]+-[0-9]|LP[0-9]+-[0-9]))?")


def implicit_value_set(url: str) -> Json | None:
    """Return the value set that a canonical URL means by itself, None where it means none."""
    match = _SNOMED.fullmatch(url)
    if match is not None:
        return _of_snomed(url, match["edition"], match["what"])
    match = _LOINC.fullmatch(url)
    return None if match is None else _of_loinc(url, match["code"])


def _of_snomed(url: str, edition: str | None, what: str | None) -> Json | None:
    filters: list[Json] = []
    kind, _, value = unquote(what or "").partition("/")
    if kind == "isa" and value.isdigit():
        filters = [{"property": "concept", "op": "is-a", "value": value}]
    elif kind == "refset":
        # Without an id it means the reference sets themselves.
        filters = [{"property": "constraint", "op": "=", "value": f"^ {value}" if value else "< 446609009"}]
    elif kind == "ecl" and value:
        filters = [{"property": "constraint", "op": "=", "value": value}]
    elif kind:
        return None
    version = {"version": SNOMED + edition} if edition else {}
    return _value_set(url, {"system": SNOMED, **version}, filters)


def _of_loinc(url: str, code: str | None) -> Json:
    if code is None:
        return _value_set(url, {"system": LOINC}, [])
    name = "LIST" if code.startswith("LL") else "ancestor"
    return _value_set(url, {"system": LOINC}, [{"property": name, "op": "=", "value": code}])


def _value_set(url: str, include: Json, filters: list[Json]) -> Json:
    part = {**include, **({"filter": filters} if filters else {})}
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [part]}}
