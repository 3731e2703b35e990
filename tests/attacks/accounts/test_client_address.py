"""A client cannot choose its address: a forwarding header counts only behind proxies that a setting names."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from fhir_server.http.client_address import ClientAddress, ClientAddresses, client_address
from fhir_server.settings import SettingsError, settings_with
from fhir_server.store.database.mongo import Database
from tests.smart_server import smart_server

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
ADDRESSES = st.ip_addresses().map(str)


async def _address(
    peer: str | None, *lines: str, proxies: bool = True, name: bytes = b"x-forwarded-for"
) -> ClientAddress:
    collected: list[ClientAddress] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        collected.append(client_address(scope))

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    headers = [(name, line.encode()) for line in lines]
    scope: Scope = {"type": "http", "headers": headers, "client": (peer, 1) if peer else None}
    await ClientAddresses(app, PROXIES if proxies else [])(scope, receive, send)
    return collected[0]


@given(ADDRESSES, st.lists(st.text(max_size=40), max_size=4))
async def test_nobody_but_a_named_proxy_is_believed(peer: str, lines: list[str]) -> None:
    """Whatever the header says, the address is that of the connection."""
    assert (await _address(peer, *lines, proxies=False)).text == _plain(peer)


@given(ADDRESSES.filter(lambda text: not _is_proxy(text)), st.lists(ADDRESSES, max_size=3))
async def test_what_the_client_wrote_itself_is_passed_over(client: str, forged: list[str]) -> None:
    """A proxy adds the address that it saw at the end; all before it is the client's own claim."""
    line = ", ".join([*forged, client])
    assert await _address("10.1.2.3", line) == ClientAddress(_plain(client), is_client=True)
    assert await _address("10.1.2.3", *forged, client, "10.9.9.9, fd00::1") == ClientAddress(
        _plain(client), is_client=True
    )


@pytest.mark.parametrize("name", [b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip"])
async def test_only_one_header_counts(name: bytes) -> None:
    """A proxy that writes X-Forwarded-For passes other headers on as the client wrote them."""
    assert await _address("10.0.0.1", "198.51.100.9", name=name) == ClientAddress("10.0.0.1", is_client=False)


@pytest.mark.parametrize(
    ("line", "address", "is_client"),
    [
        ("198.51.100.9:4711", "198.51.100.9", True),
        ("[2001:db8::1]:4711", "2001:db8::1", True),
        ("2001:DB8:0::1", "2001:db8::1", True),
        ("::ffff:198.51.100.9", "198.51.100.9", True),
        ("198.51.100.9, unknown", "10.0.0.1", False),
        ("198.51.100.9, 10.0.0.2, _hidden", "10.0.0.1", False),
        ("", "10.0.0.1", False),
        ("10.0.0.2", "10.0.0.2", False),
    ],
)
async def test_the_forms_of_an_address(line: str, address: str, is_client: bool) -> None:
    """With a port, in brackets, mapped to IPv6: one address; where there is none, the proxy's, marked as such."""
    assert await _address("10.0.0.1", line) == ClientAddress(address, is_client)
    assert (await _address("::ffff:10.0.0.1", line)).is_client is is_client


async def test_a_connection_without_an_address_is_nobody_s() -> None:
    """A Unix socket has no address, so nothing is counted under one."""
    assert await _address(None, "198.51.100.9") == ClientAddress("", is_client=False)


async def test_the_trail_names_the_address_that_the_rule_finds(
    database: Database, mongod_url: str, tmp_path: Path
) -> None:
    """The header is passed over by default, and believed behind a named proxy."""
    seen = []
    for number, proxies in enumerate((None, "127.0.0.1, 10.0.0.0/8")):
        data_dir = tmp_path / str(number)
        async with smart_server(mongod_url, database.name, data_dir, trusted_proxies=proxies) as smart:
            headers = {"X-Forwarded-For": "203.0.113.5, 198.51.100.9"}
            await smart.http.get(f"/fhir/Patient/{number}", headers=headers)
            await smart.http.get(f"/medicine/prescription?number={number}", headers=headers)
            await smart.app.state.audit.flush()
            auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
            for query in ("type=rest", "subtype=hospital"):
                page = (await auditor.get(f"AuditEvent?{query}&_sort=-date&_count=200")).json()
                events = [entry["resource"] for entry in page["entry"]]
                event = next(each for each in events if f"{number}" in str(each["entity"]) and _is_asked(each))
                seen.append(event["agent"][0]["network"]["address"])
    assert seen == ["127.0.0.1", "127.0.0.1", "198.51.100.9", "198.51.100.9"]


@pytest.mark.parametrize("text", ["everybody", "10.0.0.0/33", "10.0.0.7/8", "*"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    """A misspelt list would trust nobody, or everybody."""
    with pytest.raises(SettingsError, match="trusted_proxies"):
        settings_with(trusted_proxies=text)


def _is_asked(event: dict[str, object]) -> bool:
    return "AuditEvent" not in str(event.get("entity"))


def _plain(text: str) -> str:
    address = ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_proxy(text: str) -> bool:
    address = ip_address(_plain(text))
    return any(address.version == network.version and address in network for network in PROXIES)
