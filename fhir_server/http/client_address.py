"""Where a request comes from: the one place that reads a forwarding header and decides whom to trust.

`X-Forwarded-For` counts only as far as the addresses that it passed are proxies that the setting `trusted_proxies`
names; anybody else can write one. Other forwarding headers count for nothing: a proxy passes on those that it does not
write itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_KEY = "fhir_server.client_address"


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where a request comes from, as far as it is known."""

    text: str
    """The address; empty where the connection has none, as on a Unix socket."""
    is_client: bool
    """Whether it is the client's own; else it is that of a trusted proxy that does not tell whose request it passes on,
    so failures must not be counted under it: they may be anybody's."""


def client_address(scope: Scope) -> ClientAddress:
    """Return the address that the request comes from."""
    address = scope.get(_KEY)
    return address if isinstance(address, ClientAddress) else _of_peer(scope)


class ClientAddresses:
    """ASGI middleware that finds the address of each request once, for `client_address` to return."""

    def __init__(self, app: ASGIApp, trusted_proxies: Iterable[Network]) -> None:
        self.app = app
        self._trusted = tuple(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its address."""
        if scope["type"] in ("http", "websocket"):
            scope[_KEY] = self._find(scope)
        await self.app(scope, receive, send)

    def _find(self, scope: Scope) -> ClientAddress:
        peer = _of_peer(scope)
        address = _parse(peer.text)
        if address is None or not self._is_proxy(address):
            return peer
        for text in reversed(_forwarded(scope)):
            passed = _parse(text)
            if passed is None:
                break  # what a trusted proxy wrote, but no address ("unknown"): the client's is not known
            address = passed
            if not self._is_proxy(address):
                return ClientAddress(str(address), is_client=True)
        return ClientAddress(str(address), is_client=False)

    def _is_proxy(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def _of_peer(scope: Scope) -> ClientAddress:
    peer = scope.get("client")
    text = str(peer[0]) if peer else ""
    address = _parse(text)
    return ClientAddress(str(address) if address else text, is_client=address is not None)


def _forwarded(scope: Scope) -> list[str]:
    """Return the addresses of X-Forwarded-For, the nearest last; several header lines are one list."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    return [part.strip() for part in ",".join(lines).split(",")] if lines else []


def _parse(text: str) -> Address | None:
    """Return the address in a text such as `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
