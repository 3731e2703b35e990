"""The rows of an expansion that is stored with a value set that has no definition."""

from __future__ import annotations

from collections.abc import Iterator

from terminology.content.reading import read_designations, read_display
from terminology.model.concepts import CodeSystemInfo, Concept, Json
from terminology.operations.entries import Row
from terminology.operations.selection import expansion_entries


def stored_rows(expansion: Json) -> Iterator[Row]:
    """Return the codes of a stored expansion; entries that only group others have none."""
    for entry in expansion_entries(expansion):
        if entry.get("system") and entry.get("code"):
            yield Row(CodeSystemInfo(entry["system"], entry.get("version")), _concept(entry))


def _concept(entry: Json) -> Concept:
    display = entry.get("display")
    shown = (read_display(display, None),) if display else ()
    return Concept(
        entry["code"],
        display,
        designations=(*shown, *read_designations(entry)),
        abstract=bool(entry.get("abstract")),
        inactive=bool(entry.get("inactive")),
    )
