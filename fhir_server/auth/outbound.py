"""Asking a URL of another organization, without becoming its way into this network.

The name is resolved once, every address must be public, and the connection goes to the address that was checked, so
that a name which resolves differently the second time gains nothing. No redirects, a small body, a short time.
https://owasp.org/www-community/attacks/Server_Side_Request_Forgery
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx

from fhir_server.errors import FhirError, TooLarge
from fhir_server.work.content_encoding import ACCEPTED, decompress
from fhir_server.work.threads import sized

T = TypeVar("T")
Headers: TypeAlias = "Mapping[str, str] | Sequence[tuple[str, str]]"


class Refused(Exception):
    """The URL may not be asked, or what it answers is of no use."""


class Unanswered(Refused):
    """It was sent the request, and may have read it, but there is no answer."""


class Redirected(Refused):
    """It answers that what was asked for is elsewhere; whoever follows asks for that as for any other URL."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"it answers {status}")
        self.location = location


class Answered(Refused):
    """It answers with an error; `body` is what it says of that, where it is not too large."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"it answers {status}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, and for how many seconds its Cache-Control lets it be kept (None where it does not say)."""

    body: bytes
    max_age: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Whatever a URL answers, errors included; a redirect is not followed."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is asked of a URL, and how much answer, in bytes, and time, in seconds, that may take."""

    method: str = "GET"
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(
        default_factory=lambda: {"Accept": "application/json"}
    )
    body: bytes | None = None
    largest: int = 256 * 1024
    seconds: float = 5.0


_PLAIN = Outgoing()
_SILENCE = 30.0


async def fetch(url: str, outgoing: Outgoing = _PLAIN, *, allow_internal: bool = False) -> Fetched:
    """Return what the https URL answers; raises Refused.

    `allow_internal` permits http and addresses of this network, for a server whose partners live there.
    """
    return await _exchange(url, outgoing, partial(_read, largest=outgoing.largest), allow_internal=allow_internal)


async def ask(url: str, outgoing: Outgoing, *, allow_internal: bool = False) -> Answer:
    """Return what the https URL answers, whatever its status; raises Refused."""

    async def read(response: httpx.Response) -> Answer:
        content = await _content(response, outgoing.largest)
        return Answer(response.status_code, response.headers.get("content-type", ""), content)

    return await _exchange(url, outgoing, read, allow_internal=allow_internal)


async def send(url: str, sent: Outgoing, *, allow_internal: bool = False) -> int:
    """Return the status that the https URL answers with, whatever that is; its body is not read.

    Raises Refused, and Unanswered where the receiver may have what was sent.
    """
    return await _exchange(url, sent, _status, allow_internal=allow_internal)


async def receive(
    url: str, outgoing: Outgoing, take: Callable[[AsyncIterator[bytes]], Awaitable[T]], *, allow_internal: bool = False
) -> T:
    """Have `take` read what the https URL answers: the bytes in pieces, packed as they come; raises Refused.

    `outgoing.seconds` is for the whole, whose length is the taker's matter; silence for half a minute ends it.
    """
    return await _exchange(url, outgoing, partial(_passed_on, take), allow_internal=allow_internal, silence=_SILENCE)


async def _passed_on(take: Callable[[AsyncIterator[bytes]], Awaitable[T]], response: httpx.Response) -> T:
    if response.has_redirect_location:
        raise Redirected(response.status_code, response.headers["location"])
    if response.status_code != 200:
        raise Answered(response.status_code, b"")
    return await take(response.aiter_raw())


async def _exchange(
    url: str,
    outgoing: Outgoing,
    reading: Callable[[httpx.Response], Awaitable[T]],
    *,
    allow_internal: bool,
    silence: float | None = None,
) -> T:
    parts = _parts(url)
    if not parts.hostname or not (parts.scheme == "https" or (allow_internal and parts.scheme == "http")):
        raise Refused("only https is fetched")
    port = _port(parts)
    host, progress = parts.netloc.rpartition("@")[2], _Progress()
    try:
        async with asyncio.timeout(outgoing.seconds):
            address = await _public_address(parts.hostname, port, allow_internal=allow_internal)
            pinned = httpx.URL(url).copy_with(host=address, port=port)
            # Ask no proxy and no netrc of the environment: the address that was checked is the one to ask.
            async with httpx.AsyncClient(
                trust_env=False, verify=_certificates(), timeout=silence or outgoing.seconds
            ) as client:
                headers = [("Host", host), *_with_encodings(_pairs(outgoing.headers))]
                extensions = {"sni_hostname": parts.hostname, "trace": progress.note}
                async with client.stream(
                    outgoing.method, pinned, headers=headers, content=outgoing.body, extensions=extensions
                ) as response:
                    return await reading(response)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        kind = Unanswered if progress.sending else Refused
        raise kind(f"it cannot be fetched ({type(error).__name__})") from error


@dataclass(slots=True)
class _Progress:
    """How far a request has come."""

    sending: bool = False

    async def note(self, event: str, _: Mapping[str, object]) -> None:
        """Take a step that is told by the name of httpcore's `trace` extension."""
        self.sending = self.sending or event == "http11.send_request_headers.started"


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _with_encodings(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Say which codings are undone here, unless whoever asks undoes others."""
    if any(name.lower() == "accept-encoding" for name, _ in headers):
        return headers
    return [*headers, ("Accept-Encoding", ACCEPTED)]


@cache
def _certificates() -> ssl.SSLContext:
    """Return a context that trusts the authorities of the machine, which the operator may add to, beside the usual."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


async def _status(response: httpx.Response) -> int:
    return response.status_code


async def _read(response: httpx.Response, largest: int) -> Fetched:
    if response.has_redirect_location:
        raise Redirected(response.status_code, response.headers["location"])
    if response.status_code not in (200, 201):
        raise Answered(response.status_code, await _content(response, largest))
    return Fetched(await _content(response, largest), _max_age(response.headers.get("cache-control", "")))


async def _content(response: httpx.Response, largest: int) -> bytes:
    try:
        return await content_of(response, largest)
    except FhirError as error:
        raise Refused(error.issues[0].diagnostics.rstrip(".")) from error


async def content_of(response: httpx.Response, largest: int) -> bytes:
    """Return the body of an answer that is being streamed, its codings undone; raises FhirError.

    It is counted before it is unpacked and while it is, since one piece of 64 KB may be 64 MB unpacked.
    """
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > largest:
            raise TooLarge(f"It is larger than {largest} bytes.")
    coding = response.headers.get("content-encoding")
    return await sized(len(body), decompress, bytes(body), coding, limit=largest) if coding else bytes(body)


def _max_age(cache_control: str) -> int | None:
    directives = [part.strip().lower() for part in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    for directive in directives:
        name, _, value = directive.partition("=")
        if name == "max-age" and value.isdigit():
            return int(value[:9])
    return None


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise Refused("it is not a URL") from error


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Refused("its port is none") from error


async def _public_address(host: str, port: int, *, allow_internal: bool) -> str:
    try:
        loop = asyncio.get_running_loop()
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused("its host has no address") from error
    addresses = [str(entry[4][0]) for entry in entries]
    if not allow_internal and not all(is_public(address) for address in addresses):
        raise Refused("its host is not on the public Internet")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether the address is one of the public Internet, also where IPv6 carries an IPv4 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if embedded is not None:
            return is_public(str(embedded))
        if parsed.is_site_local:  # deprecated, and still routed within some networks
            return False
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved
