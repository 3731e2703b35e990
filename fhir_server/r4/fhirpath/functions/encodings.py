"""Strings encoded, decoded, escaped and unescaped. https://build.fhir.org/ig/HL7/FHIRPath/#additional-string-functions"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from fhir_server.r4.fhirpath.functions.registry import function
from fhir_server.r4.fhirpath.items import EMPTY, FhirPathError, Items, grown, text_of

_T = TypeVar("_T")

_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
    "urlbase64": base64.urlsafe_b64encode,
}
_DECODERS: dict[str, Callable[[str], bytes]] = {
    "hex": bytes.fromhex,
    "base64": lambda text: base64.b64decode(text, validate=True),
    "urlbase64": lambda text: base64.b64decode(text, altchars=b"-_", validate=True),
}


@function("encode", 1)
def _encode(items: Items, encoding: Items) -> Items:
    text = text_of(items)
    encode = _named(_ENCODERS, encoding)
    return EMPTY if text is None or encode is None else grown(encode(text.encode()).decode())


@function("decode", 1)
def _decode(items: Items, encoding: Items) -> Items:
    text = text_of(items)
    decode = _named(_DECODERS, encoding)
    if text is None or decode is None:
        return EMPTY
    try:
        return grown(decode(text).decode())
    except ValueError as error:
        raise FhirPathError("A string is not encoded as decode() was told.") from error


@function("escape", 1)
def _escape(items: Items, target: Items) -> Items:
    text = text_of(items)
    escape = _named({"html": _escaped_html, "json": _escaped_json}, target)
    return EMPTY if text is None or escape is None else grown(escape(text))


@function("unescape", 1)
def _unescape(items: Items, target: Items) -> Items:
    text = text_of(items)
    unescape = _named({"html": html.unescape, "json": _unescaped_json}, target)
    return EMPTY if text is None or unescape is None else grown(unescape(text))


def _named(choices: Mapping[str, _T], name: Items) -> _T | None:
    encoding = text_of(name)
    if encoding is None:
        return None
    if encoding not in choices:
        raise FhirPathError(f"{encoding[:40]!r} is none of {', '.join(choices)}.")
    return choices[encoding]


def _escaped_html(text: str) -> str:
    return html.escape(text).replace("&#x27;", "&#39;")


def _escaped_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _unescaped_json(text: str) -> str:
    try:
        plain = str(json.loads(f'"{text}"'))
        plain.encode()  # half of a surrogate pair is no text
        return plain
    except ValueError as error:
        raise FhirPathError("A string is not escaped as JSON.") from error
