"""What a reader tells of a code system and of each of its concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Text(NamedTuple):
    """A designation: `use` is a system, a code and a display, `preferred` whether it may stand as the display."""

    value: str
    language: str | None = None
    use: tuple[str, str, str] | None = None
    preferred: bool = False


class Fact(NamedTuple):
    """A property of a concept; `group` puts those together that hold together, 0 for none."""

    name: str
    value: str
    type: str = "code"
    group: int = 0


@dataclass(slots=True)
class ConceptRecord:
    """A concept as its publisher states it; `parents` are codes, which may come later."""

    code: str
    display: str | None
    definition: str | None = None
    texts: Sequence[Text] = ()
    facts: Sequence[Fact] = ()
    parents: Sequence[str] = ()
    inactive: bool = False
    abstract: bool = False
    status: str | None = None


@dataclass(slots=True)
class SystemRecord:
    """A code system as a whole: `properties` are code, type and uri of what its concepts may have."""

    url: str
    version: str
    name: str
    title: str
    properties: Sequence[tuple[str, str, str | None]] = ()
    hierarchy_meaning: str | None = "is-a"
    case_sensitive: bool = True
    compositional: bool = False
    value_set: str | None = None
    copyright: str | None = None
    language: str = "en"
    extra: dict[str, str] = field(default_factory=dict)
