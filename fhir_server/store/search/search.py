"""Runs compiled searches on the key index: pages, counts and ids. What a plan means is in `search.query`.

Outside transactions a search reads a snapshot, and the following pages read the same one, so that each match of the
first page's moment comes exactly once whatever is written meanwhile. MongoDB keeps snapshots for minutes; a page asked
for later goes on from the same row in what is current.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from bson.timestamp import Timestamp

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.index.keys import EVERY
from fhir_server.search.planner.filters import to_filter
from fhir_server.search.planner.query import Plan, TypePlan
from fhir_server.search.planner.scans import Equal, Falling, Scan, within
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.snapshots import read_snapshot
from fhir_server.store.database.time_limit import limited
from fhir_server.store.resources.blobs import BlobStore
from fhir_server.store.search import commands
from fhir_server.store.search.choice import FEW, StrategyChooser, Way
from fhir_server.store.search.counting import CountMemory
from fhir_server.store.search.explain import Execution, execution
from fhir_server.store.search.falling import SplitPoints, piece
from fhir_server.store.search.kept_searches import keep, kept
from fhir_server.store.search.pages import Cursor, Merging, Reading, Snapshot, beginning, command_of, parts_of
from fhir_server.store.search.rows import BARE, HEAD, Contents, Row, to_row
from fhir_server.store.search.sealed_plans import sealed_plan
from fhir_server.store.search.sealed_sorts import is_by_text, matching

__all__ = ["Page", "Row", "SearchStore"]

_PLACE: Document = {"_id": 1, "updated": 1}
"""What tells where a row stands in its search, whatever leads the search."""
_ENTRY: Document = {"keys": 1, "ranges": 1, "shape": 1, "updated": 1}
_ENTRIES = 500
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the cursor at which the next page continues (None where there is none); `at` is the moment read."""

    rows: list[Row]
    next: Cursor | None
    at: Snapshot = None


class SearchStore:
    """Finds current resources by plans of `search.query`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.blobs = BlobStore(database)
        self.contents = Contents(self.ask, self.blobs)
        self.chooser = StrategyChooser(self.count_scans)
        self.cuts = SplitPoints(self._sampled)
        self.counts = CountMemory(self._ask_at)

    def prepared(self, plan: Plan) -> Plan:
        """Return a plan as it can be run: in an encrypted database, by keys as they are written there."""
        cipher = self.database.cipher
        return plan if cipher is None else sealed_plan(plan, cipher)

    async def types(self) -> list[str]:
        """Return the resource types of which there are, or were, resources."""
        return sorted(RESOURCE_TYPES.intersection(await self.database.collection_names()))

    async def page(
        self,
        plan: Plan,
        *,
        limit: int,
        cursor: Cursor | None = None,
        room: int | None = None,
        keys: bool = False,
        contents: bool = True,
        session: Session | None = None,
    ) -> Page:
        """Return the next rows of a plan after the cursor: `limit`, or as many as `room` has bytes for, one at least.

        With their index keys where `keys`; without what contents are large where not `contents`.
        """
        plan = self.prepared(plan)
        fields = BARE if len(plan.types) > 1 and plan.sort else HEAD
        reading = self._reading(plan, {**fields, "keys": 1} if keys else fields, cursor, session)
        placed = await reading.rows(limit + 1, room)
        rows = [
            to_row(plan.types[place[0]].type, each, plan.types[place[0]].collection) for place, each in placed[:limit]
        ]
        fitting = await self.contents.fitting(rows, room)
        last = len(fitting)
        more = len(placed) > last or await reading.has_more()
        following = reading.cursor(placed[last - 1][0]) if more and last else None
        shown = await self.read(fitting, reading.snapshot, session) if contents else fitting
        return Page(shown, following, reading.snapshot)

    async def read(self, rows: Sequence[Row], at: Snapshot, session: Session | None = None) -> list[Row]:
        """Return rows with their contents, without those that have been erased since they were found."""
        return await self.contents.read(rows, None if at is None else Timestamp(*at), session)

    async def cursor_after(self, plan: Plan, rows: int, at: Snapshot) -> Cursor:
        """Return the cursor of the page that begins after so many rows of a snapshot."""
        reading = self._reading(self.prepared(plan), _PLACE, beginning(at))
        placed = await reading.rows(rows)
        return reading.cursor(placed[-1][0]) if placed else beginning(at)

    async def keep(self, state: Any) -> str:
        """Keep the state of a search that is too long for a link; return its name."""
        return await keep(self.database.primary, state)

    async def kept(self, name: str) -> Any:
        """Return the state kept under a name, None where it has expired."""
        return await kept(self.database.primary, name)

    async def by_ids(
        self, resource_type: str, ids: Sequence[str], where: Condition | None, limit: int, at: Snapshot
    ) -> list[Row]:
        """Return the live resources with these ids that the caller may see, with their keys; `read` adds contents."""
        return await self._rows_of(resource_type, [{"_id": {"$in": list(ids)}}, {"keys": EVERY}], where, limit, at)

    async def by_keys(  # noqa: PLR0917 - a read and its limits
        self,
        resource_type: str,
        keys: Sequence[str],
        where: Condition | None,
        limit: int,
        at: Snapshot,
        hidden: Sequence[str],
    ) -> list[Row]:
        """Return the resources with one of these keys that the caller may see, but for the hidden ids, with their
        keys; `read` adds contents.
        """
        filters: list[Document] = [{"keys": {"$in": list(keys)}}, {"_id": {"$nin": list(hidden)}}]
        return await self._rows_of(resource_type, filters, where, limit, at)

    async def _rows_of(
        self, resource_type: str, filters: list[Document], where: Condition | None, limit: int, at: Snapshot
    ) -> list[Row]:
        if where is not None:
            filters.append(to_filter(where))
        command: Document = {"find": resource_type, "filter": {"$and": filters}, "projection": {**HEAD, "keys": 1}}
        rows: list[Row] = []
        after = ""
        while len(rows) < limit:
            command["filter"] = {"$and": [*filters, {"_id": {"$gt": after}}]}
            command |= {"sort": {"_id": 1}, "limit": limit - len(rows), "batchSize": limit + 1}
            documents, cut, _ = await self.ask(command, None, None if at is None else Timestamp(*at))
            rows += [to_row(resource_type, each) for each in documents]
            if not cut:
                break
            after = documents[-1]["_id"]
        return rows

    async def ids(self, plan: Plan, limit: int, session: Session | None = None) -> list[str]:
        """Return the ids of the first `limit` rows of a plan."""
        reading = self._reading(self.prepared(plan), _PLACE, None, session)
        return [document["_id"] for _, document in await reading.rows(limit)]

    async def entries(self, plan: TypePlan, most: int, session: Session | None = None) -> list[Document] | None:
        """Return the index entries of what meets a plan, as `query.match.holds` takes them; None where it is more."""
        ids = await self.ids(Plan((plan,)), most + 1, session)
        if len(ids) > most:
            return None
        entries: list[Document] = []
        for start in range(0, len(ids), _ENTRIES):
            condition = {"_id": {"$in": ids[start : start + _ENTRIES]}}
            command: Document = {"find": plan.collection, "filter": condition, "projection": _ENTRY}
            documents, _, _ = await self.ask(command | {"batchSize": _ENTRIES + 1}, session)
            entries += documents
        return entries

    async def count(self, plan: Plan, session: Session | None = None) -> int:
        """Return how many resources meet a plan."""
        return sum([await self._count(each, session) for each in self.prepared(plan).types])

    async def _count(self, plan: TypePlan, session: Session | None) -> int:
        kind, number = ("read", 0) if plan.range_count else await self.chooser.choose(plan)
        if kind in {"inside", "gather"}:
            collection, stages = commands.counting(plan.sources[number])
            return await self._number(commands.aggregate(collection, stages, 1), session)
        command = self._counting(plan, number if kind != "order" else 0)
        # Within a transaction there is one moment only, and what others refer to changes without a trace here.
        remembers = session is None and not plan.stages and plan.collection == plan.type
        return await (self.counts.count(plan, command) if remembers else self._number(command, session))

    def _counting(self, plan: TypePlan, drive: int) -> Document:
        """Return the command that counts all that a plan finds."""
        match plan.drives[drive].scans:
            case (Equal((_,)) as scan,) if plan.exact and drive == 0:
                return commands.aggregate(plan.collection, [{"$match": within(scan)}, {"$count": "n"}], 1, hint="keys")
        if plan.range_count is not None:
            return commands.aggregate(plan.collection, commands.range_counting(plan, plan.range_count), 1, hint="keys")
        return commands.aggregate(
            plan.collection, [*commands.collecting(plan, plan.drives[drive].scans), {"$count": "n"}], 1
        )

    async def _number(self, command: Document, session: Session | None = None) -> int:
        documents, _, _ = await self.ask(command, session)
        return int(documents[0]["n"]) if documents else 0

    async def reads(self, plan: TypePlan) -> int:
        """Return how many documents are read on the way to run a plan; no more are counted than tell few from many."""
        plan = self.prepared(Plan((plan,))).types[0]
        kind, number = await self.chooser.choose(plan)
        if kind in {"inside", "gather"}:
            starts = plan.sources[number].starts
            begun = sum([await self.count_scans(each.type, (each.scan,), FEW) for each in starts])
            # A few may lead to many, as a Group does to its members.
            led = [await self._number(commands.fan(each, FEW)) for each in starts] if begun < FEW else []
            return max(begun, sum(led))
        return await self.count_scans(plan.collection, plan.drives[number if kind != "order" else 0].scans, FEW)

    async def size(self, resource_type: str) -> int:
        """Return how many documents the database says that a type has, tombstones among them, without counting."""
        return await self._counted({"count": resource_type})

    async def explain(self, plan: Plan, limit: int) -> list[tuple[str, Way, list[Execution]]]:
        """Return, for each type, the way that its first page is found, and what the database does for each part."""
        explanations = []
        for each in self.prepared(plan).types:
            way = await self.chooser.choose(each)
            parts = range(len(parts_of(each, way)))
            executed = [await self._explained(await self._first(each, way, part, limit)) for part in parts]
            explanations.append((each.collection, way, executed))
        return explanations

    async def _first(self, plan: TypePlan, way: Way, part: int, limit: int) -> Document:
        """Return the first command that reads a part of a way."""
        if self.database.cipher is not None and is_by_text(plan):
            return matching(plan, way)
        match parts_of(plan, way)[part]:
            case Falling() as scan:
                return piece(plan, scan, await self.cuts.of(plan, scan), None, 1, limit, HEAD).command
        return command_of(plan, way, part, None, limit, HEAD)

    async def _explained(self, command: Document) -> Execution:
        with translated, limited() as limit:
            explained = await self.database.command({"explain": command, "verbosity": "executionStats", **limit})
        return execution(str(command.get("find") or command["aggregate"]), explained)

    async def count_scans(self, resource_type: str, scans: Sequence[Scan], limit: int) -> int:
        """Return how many documents scans would read, at most `limit`."""
        if not scans:
            return 0
        reads = [within(scan) for scan in scans]
        condition = reads[0] if len(reads) == 1 else {"$or": reads}
        return await self._counted({"count": resource_type, "query": condition, "limit": limit})

    async def _counted(self, command: Document) -> int:
        with translated, limited() as limit:
            answer = await self.database.command(command | limit)
        return int(answer["n"])

    async def ask(
        self, command: Document, session: Session | None, at: Timestamp | None = None
    ) -> tuple[list[Document], bool, Timestamp | None]:
        """Return what a command reads, whether its answer was cut for its size, and the time of the snapshot read."""
        with translated, limited() as limit:
            answer = await self._answer(command | limit, session, at)
        cursor = answer["cursor"]
        if cursor["id"]:
            with translated:
                name = cursor["ns"].partition(".")[2]
                await self.database.command({"killCursors": name, "cursors": [cursor["id"]]}, session=session)
        return cursor["firstBatch"], bool(cursor["id"]), cursor.get("atClusterTime")

    async def _answer(self, command: Document, session: Session | None, at: Timestamp | None) -> Document:
        if session is not None:
            return await self.database.command(command, session=session, codec_options=_CODEC)
        return await read_snapshot(self.database, command, at)

    def _reading(self, plan: Plan, fields: Document, cursor: Cursor | None, session: Session | None = None) -> Reading:
        async def ask(command: Document, at: Timestamp | None) -> tuple[list[Document], bool, Timestamp | None]:
            return await self.ask(command, session, at)

        kind = Merging if plan.sort and len(plan.types) > 1 else Reading
        return kind(ask, self.chooser, self.cuts, plan, fields, cursor, self.database.cipher)

    async def _ask_at(self, command: Document, at: Timestamp | None) -> tuple[list[Document], bool, Timestamp | None]:
        return await self.ask(command, None, at)

    async def _sampled(self, command: Document) -> list[Document]:
        documents, _, _ = await self.ask(command, None)
        return documents
