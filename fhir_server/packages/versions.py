"""Versions of packages: which is later, and which of them a dependency means.

https://hl7.org/fhir/packages.html, https://semver.org/
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fhir_server.packages.faults import PackageError

_VERSION = re.compile(
    r"(?P<numbers>\d{1,9}(?:\.\d{1,9}){0,3})"
    r"(?:-(?P<label>[0-9A-Za-z.-]{1,60}))?(?:\+[0-9A-Za-z.-]{1,60})?"
)
_PART = r"(?:\d{1,9}|[xX*])"
_WILDCARD = re.compile(rf"{_PART}(?:\.{_PART}){{0,3}}")
_BOUND = re.compile(r"(?P<operator>\^|~|>=|<=|>|<|=)\s*(?P<version>\S+)")
_WILD = frozenset("xX*")

_Key = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def is_version(text: str) -> bool:
    """Return whether a text is one version, such as 4.0.1 or 5.3.0-ballot."""
    return _VERSION.fullmatch(text) is not None


def order(version: str) -> _Key:
    """Return what versions are sorted by: numbers first, and a release after its ballots. Raises PackageError."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise PackageError(f"{version[:80]!r} is not a valid package version.")
    numbers = tuple(int(part) for part in match["numbers"].split("."))
    label = match["label"]
    parts = () if label is None else tuple(map(_label_order, label.split(".")))
    return (*numbers, 0, 0, 0, 0)[:4], label is None, parts


def _label_order(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() and len(part) < 19 else (1, 0, part)


def latest(versions: Iterable[str]) -> str | None:
    """Return the latest of some versions: a release before any ballot."""
    return max(
        (each for each in versions if is_version(each)), key=lambda each: (order(each)[1], order(each)), default=None
    )


def chosen(version_range: str, versions: Iterable[str], newest: str | None = None) -> str | None:
    """Return which of the versions is meant: an exact one, the latest of a pattern or range, or the latest of all.

    Patterns are `4.0.x`, `4.x`, `*`; ranges are npm's `^4.0.1`, `~4.0.1`, `>=1.0.0 <2.0.0`, and alternatives by `||`.
    `newest` is what the registry calls the latest. None where there is no such version. Raises PackageError for a text
    that is none of these.
    """
    version_range = version_range.strip()
    there = [each for each in versions if is_version(each)]
    if version_range in there:
        return version_range
    if version_range in ("", "latest"):
        return newest if newest in there else latest(there)
    if version_range in ("current", "dev"):
        raise PackageError(
            f"No registry has {version_range!r} builds. Download package.tgz from the guide's build server, and "
            "install that file."
        )
    matching = [each for each in there if _matches(version_range, each)]
    return latest(matching)


def satisfies(version_range: str, version: str) -> bool:
    """Return whether a version is one that a dependency means; raises PackageError as `chosen` does."""
    return chosen(version_range, [version]) == version


def _matches(version_range: str, version: str) -> bool:
    return any(_meets_all(alternative.strip(), version) for alternative in version_range.split("||"))


def _meets_all(version_range: str, version: str) -> bool:
    if _VERSION.fullmatch(version_range):
        return order(version_range) == order(version)
    if _WILDCARD.fullmatch(version_range):
        return _is_like(version_range, version)
    bounds = list(_BOUND.finditer(version_range))
    if not bounds or _BOUND.sub("", version_range).strip():
        raise PackageError(f"{version_range[:80]!r} is neither a version nor a range of versions.")
    return all(_is_within(match["operator"], match["version"], version) for match in bounds)


def _is_like(pattern: str, version: str) -> bool:
    numbers, release, _ = order(version)
    for part, number in zip(pattern.split("."), numbers, strict=False):
        if part in _WILD:
            break
        if int(part) != number:
            return False
    return bool(release)


def _is_within(operator: str, bound: str, version: str) -> bool:
    mark, other = order(bound), order(version)
    match operator:
        case "=":
            return other == mark
        case ">":
            return other > mark
        case ">=":
            return other >= mark
        case "<":
            return other < mark
        case "<=":
            return other <= mark
    fixed = _fixed(operator, mark[0], bound.count("."))
    return other >= mark and other[0][:fixed] == mark[0][:fixed] and (bool(other[1]) or other[0] == mark[0])


def _fixed(operator: str, numbers: tuple[int, ...], dots: int) -> int:
    """Return how many of the numbers must stay: `^` keeps the first that is not zero, `~` the second."""
    if operator == "~":
        return min(2, dots + 1)
    return next((place + 1 for place, number in enumerate(numbers[:3]) if number), 3)
