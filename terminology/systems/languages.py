"""BCP 47: language tags of subtags that are registered. https://www.rfc-editor.org/rfc/rfc5646

Languages, scripts and regions are those of ISO 639, 15924, 3166 and UN M.49; variants and extensions are judged by
their form.
"""

from __future__ import annotations

import re
from functools import lru_cache

from terminology.content.reading import read_display
from terminology.model.concepts import CodeSystemInfo, Concept, Property, PropertyDefinition
from terminology.systems.grammar import GrammarCodeSystem
from terminology.systems.iso import names

URL = "urn:ietf:bcp:47"
_LONGEST = 100
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3}|[a-z]{5,8})(?P<extended>(?:-[a-z]{3}(?![a-z0-9])){0,3})(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*)(?P<private>-x(?:-[a-z0-9]{1,8})+)?"
)
_PRIVATE = re.compile(r"x(?:-[a-z0-9]{1,8})+")
_GRANDFATHERED = {
    tag.lower(): tag
    for tag in [
        *("en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux", "i-mingo"),
        *(
            "i-navajo",
            "i-pwn",
            "i-tao",
            "i-tay",
            "i-tsu",
            "sgn-BE-FR",
            "sgn-BE-NL",
            "sgn-CH-DE",
            "art-lojban",
            "cel-gaulish",
        ),
        *("no-bok", "no-nyn", "zh-guoyu", "zh-hakka", "zh-min", "zh-min-nan", "zh-xiang"),
    ]
}
_AREAS = {
    "001": "World",
    "002": "Africa",
    "003": "North America",
    "005": "South America",
    "009": "Oceania",
    "011": "Western Africa",
    "013": "Central America",
    "014": "Eastern Africa",
    "015": "Northern Africa",
    "017": "Middle Africa",
    "018": "Southern Africa",
    "019": "Americas",
    "021": "Northern America",
    "029": "Caribbean",
    "030": "Eastern Asia",
    "034": "Southern Asia",
    "035": "South-Eastern Asia",
    "039": "Southern Europe",
    "053": "Australia and New Zealand",
    "054": "Melanesia",
    "057": "Micronesia",
    "061": "Polynesia",
    "142": "Asia",
    "143": "Central Asia",
    "145": "Western Asia",
    "150": "Europe",
    "151": "Eastern Europe",
    "154": "Northern Europe",
    "155": "Western Europe",
    "202": "Sub-Saharan Africa",
    "419": "Latin America and the Caribbean",
}
_PARTS = ("language", "script", "region")


class Languages(GrammarCodeSystem):
    """The code system of language tags; `language`, `script` and `region` are properties to filter by. An expansion
    lists the languages that have a code of two letters.
    """

    def __init__(self) -> None:
        properties = tuple(PropertyDefinition(each, None, "code") for each in _PARTS)
        super().__init__(
            CodeSystemInfo(
                URL,
                name="BCP47",
                title="Tags for the Identification of Languages",
                status="active",
                language="en",
                case_sensitive=False,
                compositional=True,
                properties=properties,
                closed=False,
            ),
            [code for code in names("languages") if len(code) == 2],
        )

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a tag, its parts written as BCP 47 recommends."""
        return _read(code) if len(code) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _read(tag: str) -> Concept | None:
    lower = tag.lower()
    if lower in _GRANDFATHERED:
        return _concept(_GRANDFATHERED[lower], _GRANDFATHERED[lower], {})
    if _PRIVATE.fullmatch(lower):
        return _concept(lower, f"Private use ({lower})", {})
    match = _TAG.fullmatch(lower)
    if match is None:
        return None
    parts = {
        "language": match["language"],
        "script": (match["script"] or "").title(),
        "region": (match["region"] or "").upper(),
    }
    display = _display(parts, match["variants"][1:])
    if display is None:
        return None
    written = [parts["language"] + match["extended"], parts["script"], parts["region"]]
    rest = match["variants"] + match["extensions"] + (match["private"] or "")
    return _concept("-".join(part for part in written if part) + rest, display, parts)


def _display(parts: dict[str, str], variants: str) -> str | None:
    """Return a name for a tag, None where a part of it is not registered."""
    language, script, region = (parts[each] for each in _PARTS)
    names_of_parts = [names("languages").get(language)]
    if script:
        names_of_parts.append(names("scripts").get(script) or _private_script(script))
    if region:
        names_of_parts.append(
            _AREAS.get(region) if region.isdigit() else names("countries").get(region) or _private_region(region)
        )
    registered = [each for each in names_of_parts if each is not None]
    if len(registered) != len(names_of_parts):
        return None
    more = [*registered[1:], *([variants] if variants else [])]
    return f"{registered[0]} ({', '.join(more)})" if more else registered[0]


def _private_script(script: str) -> str | None:
    return "Private use" if "Qaaa" <= script <= "Qabx" else None


def _private_region(region: str) -> str | None:
    private = region in ("AA", "ZZ") or "QM" <= region <= "QZ" or "XA" <= region <= "XZ"
    return "Private use" if private else None


def _concept(code: str, display: str, parts: dict[str, str]) -> Concept:
    properties = tuple(Property(name, "code", value) for name, value in parts.items() if value)
    return Concept(code, display, designations=(read_display(display, "en"),), properties=properties)
