"""Replacing current versions of one type, several with one command, each on condition of the version before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

from fhir_server.errors import Unavailable
from fhir_server.store.database.encoding import CODEC, Document
from fhir_server.store.database.failures import translate
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.documents import Draft, Version
from fhir_server.store.taken_keys import DUPLICATE_KEY, taken_key


@dataclass(frozen=True, slots=True)
class Replacement:
    """A draft that is to follow a version; `change` is the update that makes it current."""

    previous: Version
    draft: Draft
    change: RawBSONDocument

    @property
    def condition(self) -> Document:
        """What the document must be before the change."""
        return {"_id": self.previous.id, "version": self.previous.version}


async def copy_into_history(database: Database, resource_type: str, versions: Sequence[Version]) -> None:
    """Copy current versions into history, within the database, before others replace them.

    Never as part of a transaction, which cannot do it: a copy made in vain is one that history reading drops. It
    waits for a majority and its journals: a database that is killed before the replacement, and takes that after
    its restart, would otherwise have it without the copy.
    """
    condition: Document = {"_id": {"$in": list({version.id for version in versions})}}
    if len(versions) == 1:
        condition = {"_id": versions[0].id, "version": versions[0].version}
    keep: list[Document] = [
        {"$match": condition},
        {"$set": {"id": "$_id", "_id": {"$concat": ["$_id", "/", {"$toString": "$version"}]}}},
        {"$unset": ["conditions", "claims", "sort", "shape"]},
        # One that is there already is waited for as well, whoever made it.
        {"$merge": {"into": f"{resource_type}_history", "whenMatched": "keepExisting"}},
    ]
    collection = database.current(resource_type)
    try:
        await collection.aggregate(keep)
    except AutoReconnect:  # the driver sends only single writes twice
        await collection.aggregate(keep)


async def replace_each(
    database: Database, resource_type: str, replacements: Sequence[Replacement]
) -> list[bool | Exception]:
    """Make the drafts current; return for each whether its predecessor was, or why the database refused it.

    Raises a PyMongoError where it is uncertain what was stored.
    """
    collection = database.current(resource_type)
    updates = [UpdateOne(each.condition, each.change) for each in replacements]
    outcome: list[bool | Exception] = [True] * len(updates)
    try:
        stored = (await collection.bulk_write(updates, ordered=False)).matched_count
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):
            raise
        stored = error.details["nMatched"]
        for fault in error.details["writeErrors"]:
            outcome[fault["index"]] = _refusal(fault)
    written = [position for position, each in enumerate(outcome) if each is True]
    if stored < len(written):
        kept = await _kept(database, resource_type, [replacements[position] for position in written], stored)
        for position, each in zip(written, kept, strict=True):
            outcome[position] = each
    return outcome


def _refusal(fault: Mapping[str, Any]) -> Exception:
    if fault["code"] == DUPLICATE_KEY:
        return taken_key(fault)
    return translate(OperationFailure(str(fault.get("errmsg", "")), fault["code"], fault))


async def _kept(
    database: Database, resource_type: str, replacements: Sequence[Replacement], stored: int
) -> list[bool | Exception]:
    """Return for each replacement whether it is among the `stored` ones, by what stands under its version now."""
    if stored == 0:
        return [False] * len(replacements)
    names = [f"{each.draft.id}/{each.draft.version}" for each in replacements]
    shown = {"version": 1, "updated": 1, "method": 1, "json": 1, "blob": 1}
    # Current first: a version that moves into history meanwhile is already there when it is no longer here.
    ids = [each.draft.id for each in replacements]
    # As they are stored: in an encrypted database, two writes of the same bytes are not alike.
    current = await database.raw[resource_type].find({"_id": {"$in": ids}}, shown).to_list()
    earlier = await database.raw[f"{resource_type}_history"].find({"_id": {"$in": names}}, shown).to_list()
    documents = {f"{document['_id']}/{document['version']}": document for document in current}
    documents |= {document["_id"]: document for document in earlier}
    kept = [_is_of(documents.get(name), each) for name, each in zip(names, replacements, strict=True)]
    if sum(kept) == stored:
        return list(kept)
    # Another worker has stored the very same bytes at the same millisecond, or what was stored has been erased since.
    doubtful = sum(kept) > stored
    return [Unavailable("Whether this was stored is uncertain.") if each is doubtful else each for each in kept]


def _is_of(stored: Mapping[str, Any] | None, replacement: Replacement) -> bool:
    if stored is None:
        return False
    written = bson.decode(replacement.change.raw, CODEC)["$set"]
    return all(stored.get(name) == written.get(name) for name in ("updated", "method", "json", "blob"))
