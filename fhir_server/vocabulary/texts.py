"""Tests of texts that no index answers: concepts are read one by one, and their texts compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from terminology.content.filters import concept_test
from terminology.content.provider import Filter
from terminology.content.text import matches
from terminology.model.concepts import Concept

if TYPE_CHECKING:
    from fhir_server.vocabulary.mapped import MappedCodeSystem

_serial = count()
_ROW = "SELECT no, code, inactive, abstract, body FROM concept WHERE no = ?"


def text_test(system: MappedCodeSystem, condition: Filter) -> str:
    """Return the name of a function of the connection that tells of a concept's number whether a filter admits it."""
    return _registered(system, concept_test(condition, system))


def words_test(system: MappedCodeSystem, searched: Sequence[str]) -> str:
    """Return the name of such a function for the words of a text filter."""
    words = tuple(searched)
    return _registered(system, lambda concept: matches(concept, words))


def _registered(system: MappedCodeSystem, test: Callable[[Concept], bool]) -> str:
    connection = system.connection

    def admits(number: int) -> bool:
        row = connection.execute(_ROW, (number,)).fetchone()
        return row is not None and test(system.concept_of_row(row))

    name = f"admits{next(_serial) % 64}"
    connection.create_function(name, 1, admits)
    return name
