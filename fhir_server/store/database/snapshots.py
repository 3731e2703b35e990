"""Commands that read one moment of the database, so that what they read fits together."""

from __future__ import annotations

from datetime import UTC

from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database

_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
_NO_SNAPSHOT = frozenset({239, 246, 72})  # SnapshotTooOld, SnapshotUnavailable, InvalidOptions


async def read_snapshot(database: Database, command: Document, at: Timestamp | None = None) -> Document:
    """Return the answer to a command read at that moment, or at the present one.

    What is current instead where the database does not keep the moment any longer, or cannot.
    """
    concern: Document = {"level": "snapshot"} if at is None else {"level": "snapshot", "atClusterTime": at}
    try:
        return await database.command(command | {"readConcern": concern}, codec_options=_CODEC)
    except OperationFailure as error:
        if error.code not in _NO_SNAPSHOT:
            raise
        return await database.command(command, codec_options=_CODEC)
