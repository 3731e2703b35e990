"""Closure tables: which of the concepts that a client met are below others that it met.

The table is the caller's to keep; this says what new concepts add to it.
https://hl7.org/fhir/R4/conceptmap-operation-closure.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.content.provider import Source
from terminology.model.codings import Coding
from terminology.model.options import Options
from terminology.operations.context import Context, Limits
from terminology.operations.lookup import find_concept
from terminology.operations.subsumes import SUBSUMED_BY, SUBSUMES, relation


@dataclass(frozen=True, slots=True)
class ClosureEntry:
    """A concept of a table that is below another."""

    concept: Coding
    ancestor: Coding


def extend_closure(
    present: Sequence[Coding], added: Sequence[Coding], source: Source, limits: Limits | None = None
) -> list[ClosureEntry]:
    """Return the entries that concepts add to a table that has those that are known.

    Raises TerminologyError for a code system or code that is not known; nothing is to be added then.
    """
    context = Context.of(source, Options(), limits=limits)
    table = {(each.system, each.code): each for each in present}
    entries: list[ClosureEntry] = []
    for coding in added:
        system, concept = find_concept(coding, context)
        new = Coding(coding.system, coding.version, concept.code, concept.display)
        if (new.system, new.code) in table:
            continue
        for other in table.values():
            context.step()
            if other.system != new.system:
                continue
            outcome = relation(system, concept.code, other.code or "")
            if outcome == SUBSUMES:
                entries.append(ClosureEntry(other, new))
            elif outcome == SUBSUMED_BY:
                entries.append(ClosureEntry(new, other))
        table[new.system, new.code] = new
    return entries
