"""Where the endpoints of a provider are: its discovery document, asked when it is needed and kept for a while.

A provider that answers badly, slowly or not at all is left alone for some seconds, and what it said before goes on
being used. https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fhir_server.auth.outbound import Answer, Outgoing, Refused, ask
from fhir_server.auth.providers.provider import Provider

PATH = "/.well-known/openid-configuration"
_KEPT_SECONDS = 900.0
_AFTER_FAILURE = 10.0
_LARGEST = 256 * 1024
_SECONDS = 5.0
_NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_OTHERS = ("userinfo_endpoint", "end_session_endpoint", "introspection_endpoint", "revocation_endpoint")
_LONGEST_URL = 2000


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself; `document` is all of it."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    names_itself: bool = False
    """Whether each of its answers says who it is by `iss`. https://www.rfc-editor.org/rfc/rfc9207"""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Kept:
    metadata: Metadata | None
    asked_at: float
    fault: Refused | None = None


class Discovery:
    """Finds the metadata of providers; one for each worker, since it keeps what it was told."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, provider: Provider) -> Metadata:
        """Return the provider's metadata; raises Refused where it tells none that can be used."""
        async with self._locks.setdefault(provider.issuer, asyncio.Lock()):
            kept, now = self._kept.get(provider.issuer), self._clock()
            if kept is None or now - kept.asked_at >= (_KEPT_SECONDS if kept.fault is None else _AFTER_FAILURE):
                kept = self._kept[provider.issuer] = await self._fetched(provider, kept, now)
        if kept.metadata is None:
            raise kept.fault or Refused("it told nothing of itself")
        return kept.metadata

    async def _fetched(self, provider: Provider, before: _Kept | None, now: float) -> _Kept:
        try:
            answer = await ask_provider(provider, provider.issuer.rstrip("/") + PATH, Outgoing(largest=_LARGEST))
            return _Kept(read_metadata(provider, answer), now)
        except Refused as fault:
            return _Kept(before.metadata if before else None, now, fault)


async def ask_provider(provider: Provider, url: str, outgoing: Outgoing) -> Answer:
    """Return what a URL of the provider answers; raises Refused.

    A provider within the operator's own network is asked there at its own origin only.
    """
    return await ask(url, outgoing, allow_internal=provider.internal and _origin(url) == _origin(provider.issuer))


def read_metadata(provider: Provider, answer: Answer) -> Metadata:
    """Return the metadata of a discovery document; raises Refused where it is another's, or leads nowhere safe."""
    try:
        document = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refused("its discovery document is none")
    if document.get("issuer") != provider.issuer:
        raise Refused("its discovery document names another issuer")
    urls = {name: _url(document, name) for name in (*_NEEDED, *_OTHERS)}
    missing = [name for name in _NEEDED if urls[name] is None]
    if missing:
        raise Refused(f"its discovery document has no usable {missing[0]}")
    names_itself = document.get("authorization_response_iss_parameter_supported") is True
    return Metadata(**urls, names_itself=names_itself, document=document)  # type: ignore[arg-type]  # none is missing


def _url(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST_URL or not value.isascii() or not value.isprintable():
        return None
    parts = _origin(value)
    return value if parts is not None and " " not in value and ";" not in value and "," not in value else None


def _origin(url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.netloc.lower()


def origin_of(url: str) -> str:
    """Return the origin of an endpoint, as a page's policy names it; empty where it has none."""
    parts = _origin(url)
    return f"{parts[0]}://{parts[1]}" if parts else ""
