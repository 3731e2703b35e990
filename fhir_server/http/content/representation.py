"""Which representation a request asks for, and which one its body has: headers and `_format` to formats.

Pure functions of header values. https://hl7.org/fhir/R4/http.html#mime-type
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from fhir_server.r4 import values, xml
from fhir_server.r4.patching.formats import NOT_RESOURCES

Format = Literal["json", "xml"]
BodyFormat = Literal["json", "xml", "patch", "form"]

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
FORM = "application/x-www-form-urlencoded"

# The short names are for `_format`; the two `+fhir` types are those of DSTU2, which some clients still send.
_FORMATS: dict[str, Format] = {
    FHIR_JSON: "json", "application/json": "json", "text/json": "json", "application/json+fhir": "json", "json": "json",
    FHIR_XML: "xml", "application/xml": "xml", "text/xml": "xml", "application/xml+fhir": "xml", "xml": "xml",
}  # fmt: skip
_FHIR_TYPE: dict[Format, str] = {"json": FHIR_JSON, "xml": FHIR_XML}
# A client that asks for one of these gets the type it asked for; every other name of a format gets FHIR's own.
_GENERIC = frozenset({"application/json", "text/json", "application/xml", "text/xml"})
_WILDCARDS = frozenset({"*/*", "application/*", "text/*"})
_FHIR_VERSIONS = frozenset({"4.0", "4.0.1"})
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_BROWSER = "text/html"
_NO_PAGES = frozenset(_FORMATS) - {"application/xml", "text/xml"}


@dataclass(frozen=True, slots=True)
class Representation:
    """The form of an answer: its format, whether it is indented, and its Content-Type."""

    format: Format
    pretty: bool
    content_type: str

    @property
    def is_stored(self) -> bool:
        """Whether this is the form in which resources are kept, so that nothing is to be made."""
        return self.format == "json" and not self.pretty

    def render(self, json: bytes) -> bytes:
        """Return a resource's JSON bytes in this representation."""
        if self.format == "xml":
            return xml.to_xml(values.decode(json), pretty=self.pretty)
        return values.pretty(json) if self.pretty else json


JSON_REPRESENTATION = Representation("json", False, f"{FHIR_JSON}; charset=utf-8")
"""The form of an answer to a request whose own wish could not be read."""


class MediaRange(NamedTuple):
    """One entry of an Accept header, or a Content-Type."""

    type: str
    parameters: dict[str, str]
    quality: float


@lru_cache(maxsize=1024)
def choose(accept: str | None = None, format_: str | None = None, pretty: str | None = None) -> Representation:
    """Return the representation asked for by Accept, `_format` (which wins) and `_pretty`.

    Raises NotAcceptable when no format that the server has is asked for, BadRequest for a `_pretty` that is no boolean.
    """
    if pretty not in (None, "true", "false"):
        raise BadRequest(f"_pretty must be true or false, not {pretty!r}.")
    if format_:
        media, browser = _from_parameter(format_), False
    else:
        media, browser = _from_accept(accept or "*/*")
    return Representation(_FORMATS[media.type], pretty == "true" or (browser and pretty is None), _content_type(media))


def asks_for_resource(accept: str | None, format_: str | None = None) -> bool:
    """Return whether a read of a Binary wants the resource rather than the raw content it carries.

    https://hl7.org/fhir/R4/binary.html#rest
    """
    if format_:
        return True
    return any(media.type in (FHIR_JSON, FHIR_XML) and media.quality > 0 for media in media_ranges(accept or ""))


@lru_cache(maxsize=1024)
def body_format(content_type: str | None) -> BodyFormat:
    """Return the format of a request's body; raises UnsupportedMediaType for one that no interaction takes."""
    media = next(media_ranges(content_type or ""), None)
    if media is None:
        raise UnsupportedMediaType(f"A request with a body needs a Content-Type such as {FHIR_JSON}.")
    charset = media.parameters.get("charset", "utf-8").lower()
    if charset not in _CHARSETS:
        raise UnsupportedMediaType(f"FHIR is sent as UTF-8 only; the charset {charset!r} is not supported.")
    if not _has_known_version(media):
        raise UnsupportedMediaType(f"This server speaks FHIR 4.0, not {media.parameters['fhirversion']!r}.")
    if media.type in NOT_RESOURCES:
        return "patch"
    if media.type == FORM:
        return "form"
    if is_resource_type(media.type):
        return _FORMATS[media.type]
    raise UnsupportedMediaType(f"The Content-Type {media.type!r} is not supported; send {FHIR_JSON} or {FHIR_XML}.")


def is_fhir_type(content_type: str | None) -> bool:
    """Return whether a body sent to Binary is a resource in one of FHIR's formats rather than raw content."""
    media = next(media_ranges(content_type or ""), None)
    return media is not None and media.type in (FHIR_JSON, FHIR_XML)


def is_resource_type(media_type: str) -> bool:
    """Return whether a body of the media type is a resource; JSON and XML by their generic names are."""
    return media_type in _FORMATS and "/" in media_type


def parse_resource(body: bytes, format_: Format, *, max_depth: int) -> Any:
    """Return the JSON value of a body in one of FHIR's formats; raises BadRequest or Unprocessable."""
    if format_ == "xml":
        return xml.from_xml(body, max_depth=max_depth)
    return values.decode(body)


def sent_type(stored: object) -> str:
    """Return the Content-Type of a content whose stored media type is that: any text, which no header may carry.

    https://www.rfc-editor.org/rfc/rfc9110#section-5.5
    """
    return stored if isinstance(stored, str) and _HEADER_VALUE.fullmatch(stored) else "application/octet-stream"


def http_date(time: datetime) -> str:
    """Return a UTC datetime as the value of Last-Modified."""
    return format_datetime(time, usegmt=True)


def _from_parameter(format_: str) -> MediaRange:
    # A plus sign in a URL decodes to a space, so application/fhir+json arrives with one unless it was sent as %2B.
    media = next(media_ranges(format_.strip().replace(" ", "+").replace(";+", ";")), None)
    if media is None or media.type not in _FORMATS or not _has_known_version(media):
        raise NotAcceptable(f"The _format {format_!r} is not supported; json and xml are.")
    # The specification has `_format` values mean FHIR's own formats, generic names too.
    return media._replace(type=_FHIR_TYPE[_FORMATS[media.type]])


def _from_accept(accept: str) -> tuple[MediaRange, bool]:
    ranges = [media for media in media_ranges(accept) if media.quality > 0]
    # A browser ranks application/xml above */*, but means pages, not FHIR: it gets indented JSON. Who names a format of
    # FHIR, or JSON, beside the pages gets that one.
    if any(media.type == _BROWSER for media in ranges) and not any(media.type in _NO_PAGES for media in ranges):
        return MediaRange(FHIR_JSON, {}, 1), True
    refused = {media.type for media in media_ranges(accept) if media.quality == 0}
    candidates = [concrete for media in ranges if (concrete := _concrete(media, refused))]
    if not candidates:
        raise NotAcceptable(f"No format asked for by {accept[:200]!r} is supported; {FHIR_JSON} and {FHIR_XML} are.")
    # Equal quality: a named type beats a wildcard, then the order of the header decides (max keeps the first).
    best = max(candidates, key=lambda pair: (pair[0].quality, pair[1]))
    return best[0], False


def _concrete(media: MediaRange, refused: set[str]) -> tuple[MediaRange, bool] | None:
    if not _has_known_version(media):
        return None
    if media.type in _WILDCARDS:
        offers = ("text/json", "text/xml") if media.type == "text/*" else (FHIR_JSON, FHIR_XML)
        chosen = next((offer for offer in offers if offer not in refused), None)
        return (media._replace(type=chosen), False) if chosen else None
    return (media, True) if media.type in _FORMATS and "/" in media.type else None


def _content_type(media: MediaRange) -> str:
    name = media.type if media.type in _GENERIC else _FHIR_TYPE[_FORMATS[media.type]]
    version = media.parameters.get("fhirversion")
    return f"{name}; fhirVersion={version}; charset=utf-8" if version else f"{name}; charset=utf-8"


def _has_known_version(media: MediaRange) -> bool:
    return media.parameters.get("fhirversion", "4.0") in _FHIR_VERSIONS


def media_ranges(header: str) -> Iterator[MediaRange]:
    """Yield the entries of an Accept header, or of a Content-Type, in lower case."""
    for item in header.split(","):
        name, *rest = item.split(";")
        if name.strip():
            pairs = (part.partition("=") for part in rest)
            parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
            yield MediaRange(name.strip().lower(), parameters, _quality(parameters.get("q", "1")))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0
    return quality if 0 <= quality <= 1 else 0
