"""A patient's record as one page to read: in the patient's language and time, files included, without scripts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.hospital.records.record_words import STYLE, name_of, said
from fhir_server.r4 import values
from fhir_server.store.search.search import Row
from mappings.notifications.messages import Language
from mappings.shared import reading

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}")
_UNTOLD = frozenset({"resourceType", "id", "meta", "text", "extension", "modifierExtension", "implicitRules", "system"})
"""What says nothing to a person, or says again what stands elsewhere."""


async def record_page(rows: AsyncIterator[Row], language: Language, clock: ZoneInfo) -> AsyncIterator[str]:
    """Yield the page part by part: a section for each type of resource."""
    title = escape(said("title", language))
    yield f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>{escape(said('introduction', language))}</p>"
    section = None
    page = _Page(language, clock)
    async for row in rows:
        if row.type != section:
            yield ("</section>" if section else "") + f"<section><h2>{escape(name_of(row.type, language))}</h2>"
            section = row.type
        yield page.article(values.decode(row.json))
    yield ("</section>" if section else "") + "</body></html>"


class _Page:
    def __init__(self, language: Language, clock: ZoneInfo) -> None:
        self._language = language
        self._clock = clock

    def article(self, resource: Mapping[str, Any]) -> str:
        """Return a resource as a list of what it says."""
        anchor = escape(f"{resource['resourceType']}-{resource['id']}")
        if resource["resourceType"] == "Binary":
            return f'<article id="{anchor}">{self._file(resource)}</article>'
        return f'<article id="{anchor}"><dl>{"".join(self._elements(resource))}</dl></article>'

    def _elements(self, node: Mapping[str, Any]) -> Iterator[str]:
        for name, value in node.items():
            if name in _UNTOLD or name.startswith("_"):
                continue
            told = self._value(name, value)
            if told:
                yield f"<dt>{escape(name_of(name, self._language))}</dt><dd>{told}</dd>"

    def _value(self, name: str, value: Any) -> str:
        if isinstance(value, list):
            items = [told for item in value if (told := self._value(name, item))]
            return items[0] if len(items) == 1 else "".join(f"<div>{item}</div>" for item in items)
        if isinstance(value, Mapping):
            return self._structure(value)
        if isinstance(value, bool):
            return escape(said("yes" if value else "no", self._language))
        return escape(self._text(str(value)))

    def _text(self, text: str) -> str:
        if _MOMENT.match(text):
            moment = reading.moment(text)
            if isinstance(moment, datetime) and moment.tzinfo is not None:
                return f"{moment.astimezone(self._clock):%Y-%m-%d %H:%M}"
        return text

    def _structure(self, node: Mapping[str, Any]) -> str:
        """Return a data type in one line where it has a usual form, else as a list of its own."""
        if "reference" in node:
            return self._link(node)
        words = _words(node)
        if words is not None:
            return escape(words)
        inner = "".join(self._elements(node))
        return f"<dl>{inner}</dl>" if inner else ""

    def _link(self, node: Mapping[str, Any]) -> str:
        target = str(node["reference"])
        shown = str(node.get("display") or target)
        if re.fullmatch(r"[A-Za-z]+/[A-Za-z0-9.\-]+", target):
            return f'<a href="#{escape(target.replace("/", "-"))}">{escape(shown)}</a>'
        return escape(shown)

    def _file(self, binary: Mapping[str, Any]) -> str:
        kind = str(binary.get("contentType", ""))
        kind = kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
        data = "".join(str(binary.get("data", "")).split())
        label = escape(f"{said('download', self._language)} ({kind})")
        return f'<a download href="data:{escape(kind)};base64,{escape(data)}">{label}</a>'


def _words(node: Mapping[str, Any]) -> str | None:
    """Return what a concept, name, quantity, amount of money, period or contact says."""
    if "coding" in node:
        return reading.concept_text(node)
    if "family" in node or "given" in node:
        return reading.human_name(node)
    if "value" in node and set(node) & {"unit", "code", "currency"}:
        unit = node.get("unit") or node.get("currency") or node.get("code")
        return f"{node['value']} {unit}"
    if set(node) <= {"text"} or set(node) <= {"system", "value", "use", "rank"}:
        return str(node.get("text") or node.get("value") or "")
    if "display" in node and "code" in node:
        return str(node["display"])
    return None
