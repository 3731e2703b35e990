"""The project's own regular expressions are matched in linear time, or against texts whose length is bounded."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fhir_server
import mappings
import terminology
from mappings.records import dosage
from tests.attacks.limits.backtracking import MOST_STEPS, Backtracking, hostile

ROOT = Path(__file__).parents[3]
_CALLS = {"compile", "match", "fullmatch", "search", "sub", "findall", "finditer", "split"}
_SEARCHES = {"search", "sub", "findall", "finditer", "split"}
_LEAST = 110
"""How many patterns there are at least: fewer would mean that they are not found."""

BOUNDED = {"mappings.records.dosage": "they meet texts of at most 200 characters (_folded)"}
"""Modules with patterns that take more than linear time, and why no text is long enough to matter."""


def _patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Return the patterns by module and text, each with whether it is looked for anywhere in a text."""
    collected: dict[str, tuple[re.Pattern[Any], bool]] = {}
    for package in (fhir_server, mappings, terminology):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                collected |= _of(importlib.import_module(module.name))
    return collected


def _of(module: Any) -> dict[str, tuple[re.Pattern[Any], bool]]:
    source = Path(module.__file__).read_text(encoding="utf-8")
    collected: dict[str, tuple[re.Pattern[Any], bool]] = {}
    for name, value in vars(module).items():
        pattern = value if isinstance(value, re.Pattern) else getattr(value, "__self__", None)
        if isinstance(pattern, re.Pattern) and re.search(rf"^{name}\b.*= re\.compile", source, re.MULTILINE):
            bound = getattr(value, "__name__", "")
            used = set(re.findall(rf"\b{name}\.(\w+)\(", source)) | {bound}
            collected[f"{module.__name__}: {pattern.pattern!r}"] = (pattern, bool(used & _SEARCHES))
    for text, used in _inline(ast.parse(source)):
        collected.setdefault(f"{module.__name__}: {text!r}", (re.compile(text), used in _SEARCHES))
    return collected


def _inline(tree: ast.Module) -> Iterator[tuple[str | bytes, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=used), args=[ast.Constant(value=text), *_]
            ) if used in _CALLS and used != "compile" and isinstance(text, str | bytes):
                yield text, used


PATTERNS = _patterns()


def test_the_patterns_are_found() -> None:
    """The proof is about all of them, and names no exception that is gone."""
    assert len(PATTERNS) >= _LEAST
    assert BOUNDED.keys() <= {name.partition(":")[0] for name in PATTERNS}


@pytest.fixture
def deep_recursion() -> Iterator[None]:
    """Let the count of steps recurse for each repetition; other tests rest on the usual limit."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(usual)


@pytest.mark.usefixtures("deep_recursion")
@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_takes_linear_time(name: str) -> None:
    """Twice the text takes about twice the steps, for texts made to pump each of its repetitions."""
    pattern, searching = PATTERNS[name]
    counted = Backtracking(pattern)
    for short, long in zip(*(hostile(counted.tree, size, random.Random(0)) for size in (100, 200)), strict=True):
        once, twice = counted.steps(short, searching=searching), counted.steps(long, searching=searching)
        if twice == MOST_STEPS or twice > 3 * once + 1000:
            assert name.partition(":")[0] in BOUNDED, (once, twice, "".join(map(chr, short[:40])))
            break


def test_long_words_of_a_dosage_are_not_read() -> None:
    """The exception holds: what is longer than any frequency, duration or unit is none."""
    for text in ("a" * 1_000_000, "9 " * 500_000, "q" + " " * 1_000_000 + "!"):
        assert dosage.frequency(text) is None
        assert dosage.duration(text) is None
    assert dosage.frequency("2x  daily") is not None
