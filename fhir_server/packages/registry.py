"""Fetching packages by name and version from a registry that speaks npm's protocol.

https://hl7.org/fhir/packages.html, https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin

import msgspec

from fhir_server.auth.outbound import Outgoing, Redirected, Refused, fetch
from fhir_server.packages.archive import LIMITS, Limits, Package, package_of
from fhir_server.packages.faults import PackageError
from fhir_server.packages.manifest import is_name
from fhir_server.packages.versions import chosen, is_version

_METADATA = Outgoing(largest=32 * 1024 * 1024, seconds=30.0)
_ARCHIVE = Outgoing(headers={"Accept": "application/octet-stream, */*"}, seconds=300.0)
_MOST_REDIRECTS = 4
_HASHES = ("sha512", "sha384", "sha256")


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a package in the registry; `integrity` and `shasum` (of SHA-1) as the registry states them."""

    name: str
    version: str
    tarball: str
    integrity: str | None
    shasum: str | None


class NotInRegistry(PackageError):
    """The registry has no such package, or not in a version that is meant."""


class Registry:
    """One registry by its URL; `allow_internal` permits http and addresses of this network."""

    def __init__(self, url: str, *, allow_internal: bool = False, limits: Limits = LIMITS) -> None:
        self.url = url.rstrip("/") + "/"
        self._allow_internal = allow_internal
        self._limits = limits
        self._metadata: dict[str, dict[str, Any]] = {}

    async def release(self, name: str, version_range: str) -> Release:
        """Return the version of a package that a dependency means; raises NotInRegistry, and PackageError."""
        if not is_name(name):
            raise PackageError(f"{name[:80]!r} is not a valid package name.")
        metadata = await self._about(name)
        versions = metadata.get("versions")
        versions = versions if isinstance(versions, dict) else {}
        tags = metadata.get("dist-tags")
        newest = tags.get("latest") if isinstance(tags, dict) else None
        version = chosen(version_range, versions, newest)
        if version is None:
            there = ", ".join(sorted(filter(is_version, versions))[-8:]) or "none"
            raise NotInRegistry(f"The registry {self.url} has {name} not in version {version_range}; it has {there}.")
        return self._release(name, version, versions[version])

    def _release(self, name: str, version: str, described: Any) -> Release:
        dist = described.get("dist") if isinstance(described, Mapping) else None
        dist = dist if isinstance(dist, Mapping) else {}
        tarball = dist.get("tarball")
        if not isinstance(tarball, str):
            tarball = f"{self.url}{quote(name, safe='@')}/{version}"
        integrity, shasum = dist.get("integrity"), dist.get("shasum")
        return Release(
            name,
            version,
            tarball,
            integrity if isinstance(integrity, str) else None,
            shasum if isinstance(shasum, str) else None,
        )

    async def fetch(self, release: Release) -> Package:
        """Return the package, having checked what the registry states of it; raises PackageError."""
        content = await self._get(release.tarball, replace(_ARCHIVE, largest=self._limits.packed))
        check(content, release)
        package = package_of(content, f"{release.name}@{release.version}", self._limits)
        manifest = package.manifest
        if (manifest.name, manifest.version) != (release.name, release.version):
            raise PackageError(f"The registry gives {manifest.id} for {release.name}#{release.version}.")
        package.source = release.tarball
        return package

    async def _about(self, name: str) -> dict[str, Any]:
        if name not in self._metadata:
            try:
                content = await self._get(self.url + quote(name, safe="@"), _METADATA)
                metadata = msgspec.json.decode(content)
            except _Missing as error:
                raise NotInRegistry(f"The registry {self.url} has no package {name}.") from error
            except (msgspec.DecodeError, RecursionError) as error:
                raise PackageError(f"The registry {self.url} answers no JSON for {name}.") from error
            self._metadata[name] = metadata if isinstance(metadata, dict) else {}
        return self._metadata[name]

    async def _get(self, url: str, outgoing: Outgoing) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                return (await fetch(url, outgoing, allow_internal=self._allow_internal)).body
            except Redirected as error:
                url = _led_to(url, error.location)
            except Refused as error:
                if str(error).endswith(" 404"):
                    raise _Missing(str(error)) from error
                raise PackageError(f"{url} cannot be fetched: {error}.{self._hint(str(error))}") from error
        raise PackageError(f"{url} leads on and on.")

    @staticmethod
    def _hint(reason: str) -> str:
        if "public Internet" in reason or "https" in reason:
            return " For a registry of your own network set FHIR_SERVER_PACKAGE_REGISTRY_INTERNAL=true."
        return " Set FHIR_SERVER_PACKAGE_REGISTRY to a registry that this machine reaches, or install a file."


def _led_to(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise PackageError(f"{url} leads to {location[:80]!r}, which is not a URL.") from error


class _Missing(PackageError):
    """It answers 404."""


def check(content: bytes, release: Release) -> None:
    """Raise PackageError where an archive is not what the registry has stated of it."""
    if release.integrity is not None:
        if not _is_intact(content, release.integrity):
            raise PackageError(
                f"{release.name}#{release.version} is not what its hash says ({release.integrity[:40]})."
            )
    elif release.shasum is not None:
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(digest, release.shasum.lower()):
            raise PackageError(f"{release.name}#{release.version} is not what its hash says (sha1 {release.shasum}).")


def _is_intact(content: bytes, integrity: str) -> bool:
    """Whether one of the hashes of the strongest kind stated holds; an integrity of none that is known does not."""
    stated = [part.partition("?")[0].partition("-") for part in integrity.split()]
    for name in _HASHES:
        digests = [text for kind, _, text in stated if kind == name]
        if digests:
            return any(_decoded(text) == hashlib.new(name, content).digest() for text in digests)
    return False


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
