"""The database's cache: how large the embedded one is by default, and how much one transaction may put into it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from fhir_server.errors import TooLarge
from fhir_server.store.database.encoding import Document

LEAST_GB = 0.25
MOST_GB = 16.0
_SHARE = 0.25
_GIGABYTE = 1024**3
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Of a container: control groups of version 2 and 1."""

_ROLLED_BACK_AT = 0.1
"""The share of the cache that may hold what is not committed, where the database is not told otherwise."""
_TRIGGER = re.compile(r"eviction_updates_trigger=(\d+)")
_ALWAYS_FITS = 20_000_000
"""Bytes for which no database's cache is too small."""
_PER_RESOURCE = 10_000
"""Bytes of cache that a resource takes besides its own: some 25 index keys at 400 bytes."""
_PER_BYTE = 2
"""A resource is stored as its bytes and as a document. Measured with Synthea's bundles: 36 MB of 4,825 entries pass
beside a trigger of 154 MB, 55 MB do not."""


def default_cache_gb(memory: int | None = None) -> float:
    """Return the gigabytes that the embedded database's cache has unless a setting says: a share of the memory."""
    gigabytes = _SHARE * (_memory() if memory is None else memory) / _GIGABYTE
    return round(min(max(gigabytes, LEAST_GB), MOST_GB), 2)


def _memory() -> int:
    """Return the bytes of memory of the machine, or of the container where that has less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _LIMITS:
        try:
            memory = min(memory, int((_CGROUP / name).read_text()))
        except (OSError, ValueError):  # no such version, or "max"
            continue
    return memory


class Room:
    """How much one transaction may put into the cache of a database."""

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._client = client
        self._is_measured = False
        self._bytes: int | None = None

    async def require(self, bytes_: int, resources: int) -> None:
        """Raise TooLarge where a transaction that writes so many resources of so much JSON cannot fit."""
        needed = _PER_BYTE * bytes_ + _PER_RESOURCE * resources
        if needed < _ALWAYS_FITS:
            return
        room = await self._room()
        if room is not None and needed > room:
            most = max(0, room - _PER_RESOURCE * resources) // _PER_BYTE
            raise TooLarge(
                f"The transaction writes {resources} resources of {bytes_} bytes together; the database's cache has "
                f"room for {most} bytes of so many. Send it in parts, or give the database a larger cache."
            )

    async def refusal(self) -> TooLarge:
        """Return the error of a transaction that the database did not take although nothing else ran beside it."""
        room = await self._room()
        limit = "" if room is None else f", which holds {room} bytes that are not committed"
        return TooLarge(
            f"The transaction is larger than the database's cache has room for{limit}. "
            "Send it in parts, or give the database a larger cache."
        )

    async def _room(self) -> int | None:
        """Return the bytes of cache that transactions may fill; None where the database does not tell."""
        if not self._is_measured:
            self._bytes, self._is_measured = await self._ask(), True
        return self._bytes

    async def _ask(self) -> int | None:
        database = self._client.admin
        try:
            options = await database.command("getCmdLineOpts")
            status = await database.command({"serverStatus": 1, "metrics": 0, "repl": 0, "locks": 0})
            cache = int(status["wiredTiger"]["cache"]["maximum bytes configured"])
        except (PyMongoError, KeyError):  # most users of a shared database may not ask, and a router has no cache
            return None
        engine = options.get("parsed", {}).get("storage", {}).get("wiredTiger", {}).get("engineConfig", {})
        trigger = _TRIGGER.search(str(engine.get("configString", "")))
        return int(cache * (int(trigger[1]) / 100 if trigger else _ROLLED_BACK_AT))
