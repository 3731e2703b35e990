"""Fetching packages by npm's protocol, from a registry of the test's own."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fhir_server.packages.archive import Limits
from fhir_server.packages.faults import PackageError
from fhir_server.packages.registry import NotInRegistry, Registry, Release, check
from tests.unit.packages.archives import archive, manifest, value_set

Json = dict[str, Any]
CONTENT = archive(manifest(), value_set("a"))
INTEGRITY = f"sha512-{base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()}"
SHASUM = hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()


class FakeRegistry:
    """Answers paths with what a test has set."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.asked.append(path)
        status, headers, body = self.answers.get(path, (404, {}, b"{}"))
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        writer.close()

    def publish(self, content: bytes = CONTENT, **dist: Any) -> None:
        """Have test.one in version 1.0.0."""
        described = {"dist": {"tarball": f"{self.url}/test.one-1.0.0.tgz", **dist}}
        metadata = {"name": "test.one", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": described}}
        self.answers["/test.one"] = (200, {}, json.dumps(metadata).encode())
        self.answers["/test.one-1.0.0.tgz"] = (200, {}, content)


@pytest.fixture
async def fake() -> AsyncIterator[FakeRegistry]:
    """Yield a registry on loopback."""
    made = FakeRegistry()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@pytest.fixture
def registry(fake: FakeRegistry) -> Callable[..., Registry]:
    """Return what makes clients of the registry."""
    return lambda **how: Registry(fake.url, **{"allow_internal": True, **how})


@pytest.mark.parametrize("dist", [{"integrity": INTEGRITY}, {"shasum": SHASUM}, {"integrity": f"sha1-x {INTEGRITY}"}])
async def test_a_package_is_fetched_and_checked(fake: FakeRegistry, registry: Any, dist: Json) -> None:
    """By the hash that the registry states, npm's or the older one; `latest` is what it calls so."""
    fake.publish(**dist)
    client = registry()
    package = await client.fetch(await client.release("test.one", "latest"))
    assert package.manifest.id == "test.one#1.0.0"
    assert package.integrity == INTEGRITY


@pytest.mark.parametrize(
    "dist", [{"integrity": INTEGRITY}, {"shasum": SHASUM}, {"integrity": "sha512-"}, {"integrity": "md5-abc"}]
)
async def test_another_content_than_the_hash_says_is_refused(fake: FakeRegistry, registry: Any, dist: Json) -> None:
    """Nothing of it is read, and a hash of an unknown kind is none."""
    fake.publish(archive(manifest(), value_set("b")), **dist)
    client = registry()
    with pytest.raises(PackageError, match="hash"):
        await client.fetch(await client.release("test.one", "1.0.0"))


async def test_another_package_than_was_asked_for_is_refused(fake: FakeRegistry, registry: Any) -> None:
    """The archive itself says what it is."""
    fake.publish(archive(manifest("test.two"), value_set("b")))
    client = registry()
    with pytest.raises(PackageError, match=r"gives test\.two#1\.0\.0"):
        await client.fetch(await client.release("test.one", "1.0.0"))


async def test_what_the_registry_has_not_is_told_with_what_it_has(fake: FakeRegistry, registry: Any) -> None:
    """A name that it has not, and a version that it has not."""
    fake.publish()
    with pytest.raises(NotInRegistry, match=r"it has 1\.0\.0"):
        await registry().release("test.one", "2.0.0")
    with pytest.raises(NotInRegistry, match="no package"):
        await registry().release("test.other", "1.0.0")
    with pytest.raises(PackageError, match="not a valid package name"):
        await registry().release("../secret", "1.0.0")


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"versions": []}', b'{"versions": {"1.0.0": 7}}'])
async def test_any_answer_is_understood_or_refused(fake: FakeRegistry, registry: Any, body: bytes) -> None:
    """Nothing but a PackageError comes of it."""
    fake.answers["/test.one"] = (200, {}, body)
    client = registry()
    with pytest.raises(PackageError):
        await client.fetch(await client.release("test.one", "1.0.0"))


async def test_internal_addresses_are_refused_unless_they_are_allowed(fake: FakeRegistry, registry: Any) -> None:
    """Of the registry itself; nothing is asked."""
    fake.publish()
    with pytest.raises(PackageError, match="PACKAGE_REGISTRY_INTERNAL"):
        await registry(allow_internal=False).release("test.one", "1.0.0")
    assert fake.asked == []


async def test_redirects_are_followed_a_few_times(fake: FakeRegistry, registry: Any) -> None:
    """Each is a URL like any other; one that leads in a ring is given up."""
    fake.publish()
    fake.answers["/moved"] = fake.answers["/test.one-1.0.0.tgz"]
    fake.answers["/test.one-1.0.0.tgz"] = (302, {"Location": "/moved"}, b"")
    client = registry()
    assert (await client.fetch(await client.release("test.one", "1.0.0"))).integrity == INTEGRITY
    fake.answers["/moved"] = (302, {"Location": "/moved"}, b"")
    with pytest.raises(PackageError, match="leads on"):
        await client.fetch(await client.release("test.one", "1.0.0"))
    fake.answers["/moved"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(PackageError, match="cannot be fetched"):
        await client.fetch(await client.release("test.one", "1.0.0"))


@pytest.mark.parametrize("location", ["http://[", "//", "http://x:99999/", "\\\\internal\\x", "data:,x", ""])
async def test_a_redirect_to_no_url_is_refused(fake: FakeRegistry, registry: Any, location: str) -> None:
    """Whatever a registry says, it is a PackageError."""
    fake.publish()
    fake.answers["/test.one-1.0.0.tgz"] = (302, {"Location": location}, b"")
    with pytest.raises(PackageError):
        await registry().fetch(await registry().release("test.one", "1.0.0"))


async def test_what_is_sent_compressed_is_bounded_as_it_is_unpacked(fake: FakeRegistry, registry: Any) -> None:
    """A piece of the network's may be a thousand times as large unpacked; more than the limit is never in memory."""
    fake.publish()
    gzipped = {"Content-Encoding": "gzip"}
    _, _, metadata = fake.answers["/test.one"]
    fake.answers["/test.one"] = (200, gzipped, gzip.compress(metadata))
    assert (await registry().release("test.one", "1.0.0")).version == "1.0.0"
    fake.answers["/test.one"] = (200, gzipped, gzip.compress(metadata + b" " * 60_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(PackageError, match="times as large"):
            await registry().release("test.one", "1.0.0")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    for headers in ({"Content-Encoding": "br"}, gzipped):
        fake.answers["/test.one"] = (200, headers, b"x")
        with pytest.raises(PackageError, match="cannot be fetched"):
            await registry().release("test.one", "1.0.0")


async def test_an_archive_beyond_the_limit_is_not_read_on(fake: FakeRegistry, registry: Any) -> None:
    """The limit is that of a file."""
    fake.publish()
    client = registry(limits=Limits(packed=100))
    with pytest.raises(PackageError, match="larger than 100"):
        await client.fetch(await client.release("test.one", "1.0.0"))


def test_a_release_without_a_hash_is_taken_as_it_is() -> None:
    """Some registries state none; what was installed then has one of its own."""
    check(CONTENT, Release("test.one", "1.0.0", "", None, None))
