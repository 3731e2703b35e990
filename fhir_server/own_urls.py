"""The URLs of what this server defines itself: extensions, profiles, code systems, identifiers, problems.

All begin with one base, which is set once, when a process starts. A resource keeps the URLs that it was written with:
what stands under a former base, or under the default, is read as well, and a search asks for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

DEFAULT_BASE = "https://hms.example.org"

Kind = Literal["CodeSystem", "OperationDefinition", "StructureDefinition", "ValueSet", "identifier"]

_bases: tuple[str, ...] = (DEFAULT_BASE,)


def use_base(base: str, former: Iterable[str] = ()) -> None:
    """Write URLs under `base` from now on, and read those under the former bases and the default, too."""
    global _bases  # noqa: PLW0603 - one base for the whole process, as the settings say
    _bases = tuple(dict.fromkeys((base, *former, DEFAULT_BASE)))


@contextmanager
def using_base(base: str, former: Iterable[str] = ()) -> Iterator[None]:
    """Use a base for a while, such as in a test."""
    before = _bases
    use_base(base, former)
    try:
        yield
    finally:
        use_base(before[0], before[1:])


def base() -> str:
    """Return what the URLs that are written now begin with."""
    return _bases[0]


def own_url(kind: Kind, name: str) -> str:
    """Return the URL that is written for a name."""
    return f"{_bases[0]}/fhir/{kind}/{name}"


def own_urls(kind: Kind, name: str) -> tuple[str, ...]:
    """Return the URLs that may be stored for a name: the one that is written first, then the former ones."""
    return tuple(f"{each}/fhir/{kind}/{name}" for each in _bases)


def problem_type(code: str) -> str:
    """Return the URI that names a problem. https://www.rfc-editor.org/rfc/rfc9457#section-3.1.1"""
    return f"{_bases[0]}/problems/{code}"


def path_of(url: object) -> str | None:
    """Return what follows the base in one of these URLs ("identifier/visit"); None for any other."""
    for each in _bases:
        if isinstance(url, str) and url.startswith(f"{each}/fhir/"):
            return url.removeprefix(f"{each}/fhir/")
    return None


def is_own_url(url: object, kind: Kind, name: str) -> bool:
    """Return whether a stored URL stands for a name, under whichever base."""
    return path_of(url) == f"{kind}/{name}"


def identifier_key(name: str, value: str) -> str:
    """Return an identifier of the server's own as a search takes it: in all systems that it may be stored in."""
    return ",".join(f"{system}|{value}" for system in own_urls("identifier", name))
