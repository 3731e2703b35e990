"""What a page shows of a resource: a tree of texts, links, files, lists and named fields, without any markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from markupsafe import Markup

from fhir_server.hospital.records.page.names import Names
from fhir_server.hospital.records.page.words import code_name, element_name, extension_name, label_of, type_name
from fhir_server.own_urls import path_of
from fhir_server.r4.human_names import human_name
from mappings.notifications import notifications, times
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import LOINC
from translations.catalogue import Language

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_TARGET = re.compile(r"[A-Za-z]+/[A-Za-z0-9.\-]+")
_UNTOLD = frozenset({
    "resourceType", "id", "meta", "text", "contained", "modifierExtension", "implicitRules", "system", "hash", "linkId",
    "instantiatesCanonical", "instantiatesUri", "userSelected", "sequence",
})  # fmt: skip
"""What says nothing to a person, or says again what stands elsewhere."""
_CODED = frozenset({
    "code", "dayOfWeek", "daysOfWeek", "docStatus", "durationUnit", "gender", "intent", "kind", "language", "mode",
    "outcome", "periodUnit", "priority", "purpose", "required", "status", "system", "type", "use", "when",
    "disposition", "unit",
})  # fmt: skip
"""Elements whose plain values are codes."""
_OWN_SYSTEMS = ("http://terminology.hl7.org/", "http://hl7.org/fhir/", "urn:ietf:bcp:47", LOINC)
"""The systems, beside the hospital's own, whose codes the page may know a name for; others mean something else."""
_KEYS = frozenset(
    f"identifier/{name}"
    for name in ("invoice-for", "payment-of", "payment-attempt", "payment-attempt-by", "computed-slot")
)
"""Systems of identifiers that lead from one resource to another, and are no numbers for people."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value on the page; `target` is an anchor of a link or the address of a file."""

    kind: Literal["text", "link", "file", "list", "fields"]
    text: str = ""
    target: str = ""
    parts: Sequence[Shown] = ()
    fields: Sequence[tuple[str, Shown]] = ()


def _is_nameable(system: object) -> bool:
    return system is None or path_of(system) is not None or str(system).startswith(_OWN_SYSTEMS)


def anchor(reference: str) -> str:
    """Return the name of a resource's place on the page."""
    return reference.replace("/", "-")


class View:
    """Shows resources in a language, on a clock, with names for what they refer to."""

    def __init__(self, language: Language, clock: ZoneInfo, names: Names) -> None:
        self._language = language
        self._clock = clock
        self._names = names

    def resource(self, resource: Mapping[str, Any]) -> Shown:
        """Return what is shown of a resource."""
        if resource["resourceType"] == "Binary":
            return self._file(resource, None)
        return Shown("fields", fields=list(self._fields(self._in_language(resource))))

    def _in_language(self, resource: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a resource with its message in the page's language, where it has that."""
        if resource["resourceType"] != "Communication":
            return resource
        message = notifications.from_fhir(resource, language=self._language).message
        return {**resource, "payload": [{"contentString": message}]} if message else resource

    def _fields(self, node: Mapping[str, Any]) -> Iterator[tuple[str, Shown]]:
        for name, value in node.items():
            if name == "extension":
                yield from self._extensions(value)
                continue
            if name in _UNTOLD or name.startswith("_"):
                continue
            shown = self._value(name, value)
            if shown is not None:
                yield element_name(name, self._language), shown

    def _extensions(self, extensions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Shown]]:
        for each in extensions:
            label = extension_name(str(each.get("url", "")), self._language)
            value = next((value for name, value in each.items() if name.startswith("value")), None)
            if label and isinstance(value, str):
                yield label, Shown("text", code_name(value, self._language) or value)

    def _value(self, name: str, value: Any) -> Shown | None:
        if isinstance(value, list):
            parts = [shown for item in value if (shown := self._value(name, item)) is not None]
            return parts[0] if len(parts) == 1 else Shown("list", parts=parts) if parts else None
        if isinstance(value, Mapping):
            return self._structure(name, value)
        if isinstance(value, bool):
            return Shown("text", label_of("yes" if value else "no", self._language))
        text = str(value)
        coded = code_name(text, self._language) if name in _CODED else None
        return Shown("text", coded or self._moment(text))

    def _moment(self, text: str) -> str:
        moment = reading.moment(text) if _MOMENT.match(text) else None
        if moment is None:
            return text
        day = clinic_clock.shown(moment, self._clock)
        return f"{day.date().isoformat()} {times.time_with_zone(moment, self._clock, self._language)}"

    def _structure(self, name: str, node: Mapping[str, Any]) -> Shown | None:
        """Return a data type in one line where it has a usual form, else its elements."""
        if "reference" in node:
            return self._link(node)
        if "contentType" in node or (name.endswith(("ttachment", "photo", "presentedForm")) and "url" in node):
            return self._file(node, node.get("title"))
        if path_of(node.get("system")) in _KEYS:
            return None
        text = self._words(name, node)
        if text is not None:
            return Shown("text", text) if text else None
        fields = list(self._fields(node))
        return Shown("fields", fields=fields) if fields else None

    def _words(self, name: str, node: Mapping[str, Any]) -> str | None:
        """Return what a concept, name, quantity, amount, period, address or contact says; None for what is none."""
        if "coding" in node:
            return self._concept(node)
        if "family" in node or "given" in node:
            return human_name(node)
        if "value" in node and set(node) & {"unit", "code", "currency"}:
            unit = self._unit(node) or node.get("unit") or node.get("currency") or node.get("code")
            return f"{node['value']} {unit}"
        if "value" in node and set(node) <= {"system", "value", "use", "rank", "type", "assigner", "period"}:
            return str(node["value"])
        if node and set(node) <= {"start", "end"}:
            return " – ".join(self._moment(str(node.get(side, "…"))) for side in ("start", "end"))
        if name == "address" or "postalCode" in node:
            lines = (*node.get("line", ()), node.get("postalCode"), node.get("city"), node.get("state"))
            return node.get("text") or ", ".join(str(part) for part in (*lines, node.get("country")) if part)
        if set(node) == {"text"}:
            return str(node["text"])
        return self._concept({"coding": [node]}) if "code" in node and set(node) & {"system", "display"} else None

    def _unit(self, quantity: Mapping[str, Any]) -> str | None:
        if quantity.get("system") not in (None, "http://unitsofmeasure.org"):
            return None
        code = str(quantity.get("code") or "")
        return code_name(code, self._language) if code in ("d", "h", "min", "wk", "mo", "a") else None

    def _concept(self, concept: Mapping[str, Any]) -> str:
        for coding in concept.get("coding", ()):
            name = code_name(str(coding.get("code")), self._language) if _is_nameable(coding.get("system")) else None
            if name:
                return name
        return reading.concept_text(concept) or ""

    def _link(self, node: Mapping[str, Any]) -> Shown:
        target = self._names.relative(str(node["reference"]))
        resource_type = target.partition("/")[0]
        person = resource_type in ("Patient", "RelatedPerson", "Person")
        fallback = label_of("somebody", self._language) if person else type_name(resource_type, self._language)
        text = self._names.of(target) or node.get("display") or fallback
        if _TARGET.fullmatch(target):
            return Shown("link", str(text), anchor(target))
        return Shown("text", str(node.get("display") or label_of("elsewhere", self._language)))

    def _file(self, node: Mapping[str, Any], title: str | None) -> Shown:
        kind = str(node.get("contentType", ""))
        kind = kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
        label = f"{title or label_of('download', self._language)} ({kind})"
        data, url = "".join(str(node.get("data", "")).split()), self._names.relative(str(node.get("url", "")))
        if data and _BASE64.fullmatch(data):
            return Shown("file", label, Markup("data:%s;base64,%s") % (kind, Markup(data)))  # noqa: S704 - base64 alone
        if _TARGET.fullmatch(url):
            return Shown("link", label, anchor(url))
        return Shown("text", f"{label}: {url}" if url else label)
