"""Sorting by texts in an encrypted database: the values are in sealed index entries, so they are sorted here.

All that matches is read for each page, so there may be only so much of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeAlias

from fhir_server.errors import TooLarge
from fhir_server.search.planner.query import TypePlan
from fhir_server.search.planner.sorting import SortField
from fhir_server.store.database.encoding import Document
from fhir_server.store.encryption.database_cipher import DatabaseCipher
from fhir_server.store.encryption.key_ring import is_sealed
from fhir_server.store.encryption.sealed_resources import INDEX
from fhir_server.store.search import commands
from fhir_server.store.search.choice import Way

MOST = 10_000
"""Matches that are sorted by a text."""
_AT_ONCE = 500

Ask: TypeAlias = Callable[[Document], Awaitable[tuple[list[Document], bool]]]


def is_by_text(plan: TypePlan) -> bool:
    """Return whether a search is sorted by a text."""
    return any(each.texts for each in plan.sort)


async def sorted_rows(  # noqa: PLR0917 - a read and where it goes on
    cipher: DatabaseCipher, ask: Ask, plan: TypePlan, way: Way, after: Any, limit: int, fields: Document
) -> list[Document]:
    """Return the next rows of a search that is sorted by texts; raises TooLarge where there is too much to sort."""
    ids = await _ids(ask, plan, way)
    placed: list[tuple[list[Any], str]] = []
    for start in range(0, len(ids), _AT_ONCE):
        placed += await _placed(cipher, ask, plan, ids[start : start + _AT_ONCE])
    _sort(placed, plan.sort)
    first = 0 if after is None else _first_after(placed, plan.sort, after)
    page = placed[first : first + limit]
    rows = {each["_id"]: each for each in await _rows(ask, plan, [name for _, name in page], fields)}
    return [{**rows[name], commands.AT: values} for values, name in page if name in rows]


def matching(plan: TypePlan, way: Way) -> Document:
    """Return the command that finds the ids of all that matches, up to one more than may be sorted."""
    kind, number = way
    if kind == "gather":
        collection, stages = commands.gathering(plan.sources[number])
    else:
        collection, stages = plan.collection, commands.collecting(plan, plan.drives[number].scans)
    return commands.aggregate(collection, [*stages, {"$limit": MOST + 1}, {"$project": {"_id": 1}}], MOST + 1)


async def _ids(ask: Ask, plan: TypePlan, way: Way) -> list[str]:
    documents, _ = await ask(matching(plan, way))
    if len(documents) > MOST:
        raise TooLarge(
            f"More than {MOST} {plan.type} resources match. This database is encrypted, where no more than that can be "
            "sorted by a text; ask for less, or sort by a date or number.",
            code="too-costly",
        )
    return [each["_id"] for each in documents]


async def _placed(cipher: DatabaseCipher, ask: Ask, plan: TypePlan, ids: Sequence[str]) -> list[tuple[list[Any], str]]:
    names = [f"_sort{number}" for number in range(len(plan.sort))]
    places = {
        name: {"$ifNull": [key.entries if key.texts else key.expression, None]}
        for name, key in zip(names, plan.sort, strict=True)
    }
    stages: list[Document] = [{"$match": {"_id": {"$in": list(ids)}}}]
    stages += [stage for key in plan.sort for stage in key.stages]
    documents, _ = await ask(commands.aggregate(plan.collection, [*stages, {"$project": places}], len(ids)))
    return [
        ([_value(cipher, key, each.get(name)) for name, key in zip(names, plan.sort, strict=True)], each["_id"])
        for each in documents
    ]


def _value(cipher: DatabaseCipher, key: SortField, stored: Any) -> Any:
    if not key.texts:
        return stored
    texts = [text for entry in _entries(stored) for text in _keys(cipher, entry) if text.startswith(key.texts)]
    return (max(texts) if key.descending else min(texts)) if texts else None


def _entries(stored: Any) -> Iterator[Document]:
    if isinstance(stored, list):
        for each in stored:
            yield from _entries(each)
    elif isinstance(stored, dict):
        yield stored


def _keys(cipher: DatabaseCipher, entry: Document) -> list[str]:
    documents = cipher.resources(entry["type"])
    if documents is None or not is_sealed(entry.get(INDEX)):
        return []
    return documents.entry(entry[INDEX], f"{entry['_id']}\x1f{entry['version']}")[0]


def _sort(placed: list[tuple[list[Any], str]], sort: Sequence[SortField]) -> None:
    """Sort by each key in turn, the last one first; what has no value comes last, equal ones by their ids."""
    placed.sort(key=lambda each: each[1])
    for number in reversed(range(len(sort))):
        placed.sort(key=lambda each: _sortable(each[0][number]), reverse=sort[number].descending)
        placed.sort(key=lambda each: each[0][number] is None)


def _sortable(value: Any) -> Any:
    # All values of a key are of one kind; rows that have none are moved to the end afterwards.
    return (False,) if value is None else (True, value)


def _first_after(placed: Sequence[tuple[list[Any], str]], sort: Sequence[SortField], after: Sequence[Any]) -> int:
    """Return the number of the first row that sorts after a row with these values and id."""
    *values, resource_id = after
    for number, (own, name) in enumerate(placed):
        for mine, theirs, key in zip(own, values, sort, strict=True):
            if mine != theirs:
                if mine is None or (theirs is not None and (mine > theirs) != key.descending):
                    return number
                break
        else:
            if name > resource_id:
                return number
    return len(placed)


async def _rows(ask: Ask, plan: TypePlan, ids: Sequence[str], fields: Document) -> list[Document]:
    rows: list[Document] = []
    rest = list(ids)
    while rest:
        command = {"find": plan.collection, "filter": {"_id": {"$in": rest}}, "projection": fields}
        documents, cut = await ask(command | {"batchSize": len(rest) + 1})
        rows += documents
        read = {each["_id"] for each in documents}
        rest = [each for each in rest if each not in read] if cut and documents else []
    return rows
