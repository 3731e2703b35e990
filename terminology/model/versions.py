"""Versions of resources: their order, patterns that stand for many, and the rules that a request makes about them.

https://hl7.org/fhir/R5/terminology-service.html#versions, https://semver.org
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cmp_to_key

_SEMVER = re.compile(r"\d+(\.\d+(\.\d+)?)?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_WILD = {"x", "X", "*"}
_PARTS = re.compile(r"\d+|[^\d]+")


def canonical(url: str, version: str | None) -> str:
    """Return `url|version`, or the url alone."""
    return f"{url}|{version}" if version else url


def split(reference: str) -> tuple[str, str | None]:
    """Return the url and the version of a canonical reference."""
    url, _, version = reference.partition("|")
    return url, version or None


def is_pattern(version: str) -> bool:
    """Whether the version has a wildcard: `1.x`, `1.0.*`."""
    return any(part in _WILD for part in version.split("."))


def matches(pattern: str, version: str | None, algorithm: str | None = None) -> bool:
    """Whether a version is what is wanted: the same, one that the pattern stands for, or, where versions are not
    semantic, a more detailed one (`2023-01` for `2023`).
    """
    if not version:
        return False
    if pattern == version:
        return True
    if is_pattern(pattern):
        return _matches_pattern(pattern.split("."), version.split("-")[0].split("."))
    semantic = algorithm == "semver" if algorithm else _SEMVER.fullmatch(version) and "." in version
    return not semantic and algorithm != "integer" and version.startswith(pattern)


def _matches_pattern(pattern: list[str], parts: list[str]) -> bool:
    if len(pattern) < len(parts) and pattern[-1] in _WILD:
        pattern = pattern + ["*"] * (len(parts) - len(pattern))
    return len(pattern) == len(parts) and all(
        want in _WILD or want == part for want, part in zip(pattern, parts, strict=True)
    )


def compare(one: str, other: str) -> int:
    """Return -1, 0 or 1: numbers are compared as numbers, and a prerelease comes before its release."""
    first, second = _key(one), _key(other)
    return (first > second) - (first < second)


def _key(version: str) -> tuple[object, ...]:
    release, dash, prerelease = version.partition("-") if _SEMVER.fullmatch(version) else (version, "", "")
    return tuple(_part_keys(release)), not dash, tuple(_part_keys(prerelease))


def _part_keys(text: str) -> Iterable[tuple[int, int, str]]:
    for part in _PARTS.findall(text):
        yield (1, int(part), "") if part.isdigit() else (0, 0, part)


def latest(versions: Iterable[str | None]) -> str | None:
    """Return the latest version; none at all is the oldest."""
    stated = [version for version in versions if version]
    return max(stated, key=cmp_to_key(compare)) if stated else None


@dataclass(frozen=True, slots=True)
class VersionRule:
    """What a request says of a url's version: `default` where nothing else says one, `check`, or `force`."""

    mode: str
    url: str
    version: str
    of_value_sets: bool = False

    @property
    def parameter(self) -> tuple[str, str]:
        """The name and value by which an expansion tells that the rule was followed."""
        if self.of_value_sets:
            return f"{self.mode}-valueset-version", f"{self.url}|{self.version}"
        name = "system-version" if self.mode == "default" else f"{self.mode}-system-version"
        return name, f"{self.url}|{self.version}"
