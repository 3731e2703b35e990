"""Which version of a package a dependency means."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.packages.faults import PackageError
from fhir_server.packages.versions import chosen, is_version, latest, order, satisfies

_THERE = ["3.9.0", "4.0.0", "4.0.1", "4.0.2-ballot", "4.1.0", "5.0.0-snapshot1", "5.0.0-ballot.2", "5.0.0-ballot.10"]


@pytest.mark.parametrize(
    ("expected", "version"),
    [
        ("4.0.0", "4.0.0"),
        ("5.0.0-snapshot1", "5.0.0-snapshot1"),
        ("4.0.x", "4.0.1"),
        ("4.x", "4.1.0"),
        ("4.X.x", "4.1.0"),
        ("*", "4.1.0"),
        ("", "4.1.0"),
        ("latest", "4.1.0"),
        ("^4.0.0", "4.1.0"),
        ("~4.0.0", "4.0.1"),
        (">=3.9.0 <4.0.0", "3.9.0"),
        (">3.9.0 <=4.0.0", "4.0.0"),
        ("=3.9.0", "3.9.0"),
        ("2.0.0 || 4.0.x", "4.0.1"),
        ("4.2.x", None),
        ("9.9.9", None),
        ("6.x", None),
    ],
)
def test_a_version_a_pattern_or_a_range_means_the_latest_release_that_it_admits(
    expected: str, version: str | None
) -> None:
    """A release stands before its ballots, and a ballot is chosen only by its own name."""
    assert chosen(expected, _THERE) == version


def test_the_latest_is_what_the_registry_calls_so() -> None:
    """A registry's tag may name an older version, or one that it has not."""
    assert chosen("latest", _THERE, "4.0.1") == "4.0.1"
    assert chosen("latest", _THERE, "7.0.0") == "4.1.0"
    assert chosen("latest", ["1.0.0-ballot", "1.0.0-ballot2"]) == "1.0.0-ballot2"
    assert chosen("latest", []) is None


@pytest.mark.parametrize("expected", ["current", "dev", "1.0.0 2", "nonsense", ">=x", "file:../other"])
def test_what_no_registry_has_is_refused(expected: str) -> None:
    """A build of the guide, a path or nonsense is no version."""
    with pytest.raises(PackageError):
        chosen(expected, ["0.9.0"])


_VERSIONS = st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(-[a-z0-9]{1,5}(\.[a-z0-9]{1,3})?)?", fullmatch=True)


@given(_VERSIONS, _VERSIONS, _VERSIONS)
def test_versions_have_an_order(one: str, two: str, three: str) -> None:
    """It is total and transitive, and the latest of several is none before another release."""
    ordered = sorted([one, two, three], key=order)
    assert order(ordered[0]) <= order(ordered[1]) <= order(ordered[2])
    newest = latest([one, two, three])
    assert newest is not None
    releases = [each for each in (one, two, three) if "-" not in each]
    assert all(order(each) <= order(newest) for each in releases)


@given(_VERSIONS)
def test_a_version_means_itself(version: str) -> None:
    """Whatever it is, and nothing else."""
    assert is_version(version)
    assert satisfies(version, version)
    assert chosen(version, ["99999.0.0"]) is None


@given(st.text(max_size=30))
def test_any_text_is_answered(text: str) -> None:
    """It means a version of those that are there, none, or is refused as no version."""
    with contextlib.suppress(PackageError):
        assert chosen(text, _THERE) in (*_THERE, None)
