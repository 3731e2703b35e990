"""Every text that people read is there in each language, with its places for names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from fhir_server.hospital.accounts import account_mail
from fhir_server.hospital.api.problem import PROBLEMS
from fhir_server.http.oauth.pages import texts as pages
from fhir_server.store.database.outage import OUTAGES
from tools import messages
from translations.catalogue import LANGUAGES, SOURCE, own_name, translated

OTHERS = [language for language in LANGUAGES if language != SOURCE]
EXTRACTED = messages.extracted()
ROOT = messages.ROOT


def places(text: str) -> set[str]:
    """Return what a text has in braces."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_the_texts_are_found_where_they_are_said() -> None:
    """Extraction sees the problems, mails and pages, and both kinds of mark."""
    texts = {message.id for message in EXTRACTED}
    assert {text for _, text in PROBLEMS.values()} <= texts
    assert set(account_mail._TEXTS.values()) | set(account_mail._SUBJECTS.values()) <= texts
    assert set(pages._TEXTS.values()) <= texts
    assert texts >= OUTAGES
    assert EXTRACTED.get("Monday", context="weekday") is not None


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str) -> None:
    """No text is untranslated or doubtful, none has other places than the English one, and none is left over."""
    catalogue = messages.read(language)
    expected = {(message.context, message.id) for message in EXTRACTED if message.id}
    assert {(message.context, message.id) for message in catalogue if message.id} == expected
    assert not [message.id for message in catalogue if message.id and (not message.string or message.fuzzy)]
    assert not [message.id for message in catalogue if places(str(message.id)) != places(str(message.string))]
    assert not catalogue.obsolete


@pytest.mark.parametrize("language", OTHERS)
def test_the_compiled_catalogue_is_the_one_that_people_edit(language: str) -> None:
    """`make messages` was run after the last change of a translation."""
    for message in messages.read(language):
        if message.id:
            assert translated(str(message.id), language, message.context) == message.string


def test_a_further_language_is_a_further_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue that is begun holds every text, and none translated."""
    monkeypatch.setattr(messages, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["messages", "--add", "de"])
    messages.main()
    begun = messages.read("de")
    assert len(begun) == len(EXTRACTED)
    assert not [message.id for message in begun if message.id and message.string]
    assert (tmp_path / "de" / "LC_MESSAGES" / "messages.mo").exists()


def test_what_no_catalogue_has_stays_as_it_is() -> None:
    """A text of a caller, the empty one and an unknown language are no fault."""
    assert translated("no such text", "es") == "no such text"
    assert translated("", "es") == ""
    assert translated("Sign in", "xx") == "Sign in"
    assert [own_name(language) for language in ("en", "es")] == ["English", "Español"]


def test_pages_say_nothing_but_texts() -> None:
    """A template has no words of its own: what stands between its tags are expressions."""
    collected = {}
    for path in (ROOT / "fhir_server" / "http" / "oauth" / "templates").glob("*.html"):
        bare = re.sub(r"(?s)\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|<style.*?</style>|<[^>]*>", " ", path.read_text("utf-8"))
        collected[path.name] = re.findall(r"[A-Za-z]{2,}", bare)
    assert {name: words for name, words in collected.items() if words} == {}


def test_every_text_that_a_page_asks_for_exists() -> None:
    """The names in the templates are names of the table."""
    collected = set()
    for path in (ROOT / "fhir_server" / "http" / "oauth" / "templates").glob("*.html"):
        collected |= set(re.findall(r"\bt\(\"(\w+)\"", path.read_text("utf-8")))
    assert collected
    assert collected <= pages._TEXTS.keys()


def test_no_table_has_languages_of_its_own() -> None:
    """No module chooses a text by comparing the language, or keeps texts by its code: the catalogues do."""
    collected = []
    for package in ("fhir_server", "mappings"):
        for path in (ROOT / package).rglob("*.py"):
            collected += [
                f"{path.relative_to(ROOT)}:{line}" for line in own_languages(ast.parse(path.read_text("utf-8")))
            ]
    assert collected == []


def own_languages(tree: ast.Module) -> Iterator[int]:
    """Yield the lines where a language's code is compared with, or is the key of a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) and side.value in LANGUAGES for side in sides):
                yield node.lineno
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in LANGUAGES and isinstance(value, ast.Constant):
                    yield key.lineno
