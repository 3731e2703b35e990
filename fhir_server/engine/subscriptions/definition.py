"""What a Subscription asks for, read from the resource, with the places of what cannot be carried out.

https://hl7.org/fhir/R4/subscription.html, and for topics
https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/StructureDefinition-backport-subscription.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from fhir_server.auth.outbound import is_public
from fhir_server.errors import Issue
from fhir_server.own_urls import is_own_url, own_url
from fhir_server.search.params.dates import date_range
from fhir_server.settings import Settings

Content: TypeAlias = Literal["empty", "id-only", "full-resource"]
CONTENTS: tuple[Content, ...] = ("empty", "id-only", "full-resource")

_BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
_FILTER = f"{_BACKPORT}backport-filter-criteria"
_CONTENT = f"{_BACKPORT}backport-payload-content"
_HEARTBEAT = f"{_BACKPORT}backport-heartbeat-period"
_TIMEOUT = f"{_BACKPORT}backport-timeout"
_MAX_COUNT = f"{_BACKPORT}backport-max-count"
_CHANNEL_TYPE = f"{_BACKPORT}backport-channel-type"
_SECRET = "subscription-secret"  # noqa: S105 - a name
"""The name of the extension by which a client gives the key that notifications are signed with."""

JSON = frozenset({"application/fhir+json", "application/json"})
XML = frozenset({"application/fhir+xml", "application/xml", "text/xml"})
_PAYLOAD_PARAMETERS = ("charset=utf-8", "fhirversion=4.0")

HIDDEN = "********"
"""What stands in the place of a secret wherever the resource is shown."""
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([\x20-\x7e\t]*)")
_RESERVED = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive", "te",
     "trailer", "transfer-encoding", "upgrade", "webhook-id", "webhook-signature", "webhook-timestamp"}
)  # fmt: skip
_MOST_HEADERS, _LONGEST_HEADER = 20, 8000
_LONGEST_CRITERIA, _LONGEST_ENDPOINT = 4000, 2000
_SHORTEST_SECRET = 16
_HEARTBEAT_SECONDS = (10, 7 * 86400)
DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 10, 30
DEFAULT_COUNT, MOST_COUNT = 20, 100


@dataclass(frozen=True, slots=True)
class Definition:
    """A Subscription as it is carried out; of one by topic `criteria` is the topic's URL."""

    status: str
    criteria: str
    filters: tuple[str, ...]
    channel: str
    endpoint: str
    payload: str
    """The media type of what is sent; empty where nothing is."""
    content: Content
    heartbeat: int
    """Seconds; 0 for none."""
    timeout: int
    most: int
    """Events that one notification may hold."""
    end: datetime | None

    @property
    def by_topic(self) -> bool:
        """Whether a topic says of what is told: its URL stands where R4 has a search."""
        return is_topic(self.criteria)


def is_topic(criteria: str) -> bool:
    """Return whether the criteria are a topic's canonical URL and no search."""
    return re.match(r"[a-z][a-z0-9+.-]*:", criteria) is not None


def read_definition(resource: Mapping[str, Any]) -> Definition:
    """Return what a valid Subscription asks for; `faults` tells of what it may not."""
    channel, criteria = resource["channel"], resource.get("criteria", "")
    payload = channel.get("payload", "")
    by_topic = is_topic(criteria)
    content = _extension(channel.get("_payload"), _CONTENT) or ("id-only" if by_topic else "full-resource")
    end = resource.get("end")
    return Definition(
        status=resource.get("status", ""),
        criteria=criteria,
        filters=tuple(filter_texts(resource)),
        channel=channel.get("type", ""),
        endpoint=channel.get("endpoint", ""),
        payload=payload or ("application/fhir+json" if by_topic else ""),
        content=cast(Content, content if content in CONTENTS else "id-only"),
        heartbeat=_number(channel, _HEARTBEAT, 0),
        timeout=min(_number(channel, _TIMEOUT, DEFAULT_TIMEOUT) or DEFAULT_TIMEOUT, LONGEST_TIMEOUT),
        most=min(_number(channel, _MAX_COUNT, DEFAULT_COUNT) or DEFAULT_COUNT, MOST_COUNT),
        end=None if end is None else date_range(end, "UTC")[0],
    )


def _number(element: Mapping[str, Any], url: str, default: int) -> int:
    value = _extension(element, url)
    return value if isinstance(value, int) and value >= 0 else default


def _extension(element: object, url: str) -> Any:
    """Return the value of an element's extension, or None."""
    for each in _extensions(element):
        if each.get("url") == url:
            return next((value for name, value in each.items() if name.startswith("value")), None)
    return None


def _extensions(element: object) -> list[Mapping[str, Any]]:
    extensions = element.get("extension") if isinstance(element, Mapping) else None
    return [each for each in extensions if isinstance(each, Mapping)] if isinstance(extensions, list) else []


def filter_texts(resource: Mapping[str, Any]) -> Iterator[str]:
    """Yield the filters of a Subscription by topic: searches."""
    for each in _extensions(resource.get("_criteria")):
        if each.get("url") == _FILTER and isinstance(each.get("valueString"), str):
            yield each["valueString"]


def channels(settings: Settings) -> tuple[str, ...]:
    """Return the channels that this server has."""
    return ("rest-hook", "websocket")


# --- What cannot be carried out ----------------------------------------------------------------------------------


def faults(resource: Mapping[str, Any], channels: Sequence[str], *, internal: bool) -> Iterator[Issue]:
    """Yield what of a valid Subscription cannot be carried out, whatever its criteria are.

    `channels` are those that this server has; `internal` says that endpoints may be in this network.
    """
    channel = resource["channel"]
    absent = list(_absent(resource))
    if absent:
        yield from absent
        return
    if len(resource["criteria"]) > _LONGEST_CRITERIA:
        yield Issue(
            "too-long", f"The criteria have more than {_LONGEST_CRITERIA} characters.", ("Subscription.criteria",)
        )
    if channel["type"] not in channels or _extension(channel.get("_type"), _CHANNEL_TYPE) is not None:
        there = ", ".join(channels)
        text = f"The channel {channel['type']} is not supported; there are: {there}."
        yield Issue("not-supported", text, ("Subscription.channel.type",))
        return
    yield from _payload_faults(channel, by_topic=is_topic(resource["criteria"]))
    yield from _header_faults(channel.get("header", ()))
    yield from _number_faults(channel)
    if channel["type"] == "rest-hook":
        yield from _endpoint_faults(channel.get("endpoint", ""), internal=internal)
    elif "header" in channel:
        yield Issue("not-supported", "Headers go with the channel rest-hook.", ("Subscription.channel.header",))


def _absent(resource: Mapping[str, Any]) -> Iterator[Issue]:
    """Yield the elements that have extensions instead of a value, which FHIR allows wherever one is required."""
    for element, name, place in (
        (resource, "status", "Subscription.status"),
        (resource, "criteria", "Subscription.criteria"),
        (resource["channel"], "type", "Subscription.channel.type"),
    ):
        if name not in element:
            yield Issue("required", "It needs a value to be carried out.", (place,))


def _payload_faults(channel: Mapping[str, Any], *, by_topic: bool) -> Iterator[Issue]:
    place = ("Subscription.channel.payload",)
    media_type, _, parameters = channel.get("payload", "").partition(";")
    if media_type and media_type.strip() not in JSON | XML:
        yield Issue("not-supported", "The payload is application/fhir+json, application/fhir+xml, or none.", place)
    for parameter in parameters.split(";") if parameters else ():
        if parameter.replace(" ", "").lower() not in _PAYLOAD_PARAMETERS:
            text = f"The payload has the parameters {' and '.join(_PAYLOAD_PARAMETERS)}, no others."
            yield Issue("not-supported", text, place)
    content = _extension(channel.get("_payload"), _CONTENT)
    if content is not None and not by_topic:
        yield Issue("not-supported", "What the payload holds can be chosen where the criteria are a topic.", place)
    if content is not None and content not in CONTENTS:
        yield Issue("value", f"The content of the payload is one of {', '.join(CONTENTS)}.", place)


def _number_faults(channel: Mapping[str, Any]) -> Iterator[Issue]:
    low, high = _HEARTBEAT_SECONDS
    bounds = {
        "heartbeat period": (_HEARTBEAT, low, high),
        "timeout": (_TIMEOUT, 1, LONGEST_TIMEOUT),
        "maximal count": (_MAX_COUNT, 1, MOST_COUNT),
    }
    for name, (url, least, most) in bounds.items():
        value = _extension(channel, url)
        if value is not None and not (isinstance(value, int) and least <= value <= most):
            yield Issue("value", f"The {name} is from {least} to {most}.", ("Subscription.channel",))
    for each in _extensions(channel):
        secret = each.get("valueString")
        if is_secret(each) and not (isinstance(secret, str) and (secret == HIDDEN or len(secret) >= _SHORTEST_SECRET)):
            text = f"The secret is a valueString of at least {_SHORTEST_SECRET} characters."
            yield Issue("value", text, ("Subscription.channel",))


def _header_faults(headers: Sequence[Any]) -> Iterator[Issue]:
    if len(headers) > _MOST_HEADERS:
        yield Issue("too-long", f"There are more than {_MOST_HEADERS} headers.", ("Subscription.channel.header",))
    for position, header in enumerate(headers):
        place = (f"Subscription.channel.header[{position}]",)
        match = _HEADER.fullmatch(header) if isinstance(header, str) else None
        if match is None or len(header) > _LONGEST_HEADER:
            yield Issue("value", 'A header is written as "Name: value", in printable ASCII.', place)
        elif match[1].lower() in _RESERVED:
            yield Issue("value", f"The header {match[1]} is the server's own.", place)


def _endpoint_faults(endpoint: str, *, internal: bool) -> Iterator[Issue]:
    text = endpoint_fault(endpoint, internal=internal)
    if text:
        yield Issue("value", f"The endpoint {text}.", ("Subscription.channel.endpoint",))


def endpoint_fault(endpoint: str, *, internal: bool) -> str:
    """Return why no notification may be sent to the URL, as far as that can be told without asking for its address."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if len(endpoint) > _LONGEST_ENDPOINT or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return f"is a URL of at most {_LONGEST_ENDPOINT} printable characters"
    if parts.scheme != "https" and not (internal and parts.scheme == "http"):
        return "needs https" if not internal else "needs http or https"
    if not host or port == 0:
        return "has no host"
    if "@" in parts.netloc:
        return "holds a user's name; credentials go into channel.header"
    if parts.fragment:
        return "has a fragment"
    return "" if internal or not _is_internal(host) else "is not on the public Internet"


def origin(endpoint: str) -> str:
    """Return the scheme, host and port of an endpoint."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _is_internal(host: str) -> bool:
    if host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(
        (".localhost", ".local", ".internal")
    ):
        return True
    try:
        return not is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        return False


# --- Secrets -----------------------------------------------------------------------------------------------------


def secrets_of(resource: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the headers of the channel, and the secret that notifications are signed with (empty without one)."""
    channel = resource["channel"]
    secret = next((each.get("valueString", "") for each in _extensions(channel) if is_secret(each)), "")
    return [header for header in channel.get("header", ()) if isinstance(header, str)], secret


def hidden(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource without its secrets: of the headers only their names."""
    channel = dict(resource["channel"])
    if "header" in channel:
        channel["header"] = [_without_value(header) for header in channel["header"]]
    if "extension" in channel:
        channel["extension"] = [
            {"url": each["url"], "valueString": HIDDEN} if is_secret(each) else each for each in channel["extension"]
        ]
    return {**resource, "channel": channel}


def _without_value(header: str | None) -> str | None:
    return None if header is None else f"{header.partition(':')[0]}: {HIDDEN}"


def is_secret(extension: object) -> bool:
    """Return whether an extension gives the key that notifications are signed with."""
    return isinstance(extension, Mapping) and is_own_url(extension.get("url"), "StructureDefinition", _SECRET)


def secret_extension(secret: str) -> dict[str, Any]:
    """Return the extension of a channel that gives the key that notifications are signed with."""
    return {"url": own_url("StructureDefinition", _SECRET), "valueString": secret}


def header_pairs(headers: Sequence[str]) -> list[tuple[str, str]]:
    """Return the headers as names and values."""
    matches = [_HEADER.fullmatch(header) for header in headers]
    return [(match[1], match[2].strip()) for match in matches if match is not None]
