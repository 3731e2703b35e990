"""Encrypted databases for a whole run of tests: `TEST_ENCRYPTED=1 pytest ...`."""

from __future__ import annotations

import os

import pytest

from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_services import OwnKey
from fhir_server.store.encryption.stored_keys import unlock

KEY = bytes(range(32))
ASKED = bool(os.environ.get("TEST_ENCRYPTED"))
"""Whether the run is to use encrypted databases."""
if ASKED:
    # Servers that tests start in processes of their own find it here.
    os.environ["FHIR_SERVER_ENCRYPTION_KEY"] = KEY.hex()


plain_only = pytest.mark.skipif(ASKED, reason="It looks at ways and keys of a plain database.")


async def encrypted_where_asked(database: Database) -> Database:
    """Return the database, which is empty: encrypted, where the run is to use such."""
    if ASKED:
        await unlock(database, OwnKey(KEY))
    return database
