"""What the database did for a search: the indexes it read, and how much of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.store.database.encoding import Document


@dataclass(frozen=True, slots=True)
class Execution:
    """One command as it was executed, look-ups in other collections included."""

    collection: str
    stages: tuple[str, ...]
    indexes: tuple[str, ...]
    keys: int
    documents: int
    returned: int
    milliseconds: int

    @property
    def scans_collection(self) -> bool:
        """Whether a collection was read without an index."""
        return "COLLSCAN" in self.stages


def execution(collection: str, explained: Document) -> Execution:
    """Return the figures in MongoDB's answer to `explain` with executionStats."""
    nodes = list(_nodes(explained))
    stages = [str(node["stage"]) for node in nodes if "stage" in node and "inputStage" not in node]
    look_ups = [node for node in nodes if "$lookup" in node]
    stages += ["COLLSCAN" for node in look_ups if int(node.get("collectionScans", 0)) > 0]
    used = [str(node["indexName"]) for node in nodes if "indexName" in node]
    used += [str(name) for node in look_ups for name in node.get("indexesUsed", ())]
    stats = [node["executionStats"] for node in nodes if "executionStats" in node]
    return Execution(
        collection=collection,
        stages=tuple(dict.fromkeys(stages)),
        indexes=tuple(dict.fromkeys(used)),
        keys=sum(int(each["totalKeysExamined"]) for each in (*stats, *_counting(look_ups))),
        documents=sum(int(each["totalDocsExamined"]) for each in (*stats, *_counting(look_ups))),
        returned=_returned(explained, stats),
        milliseconds=max((int(each.get("executionTimeMillis", 0)) for each in stats), default=0),
    )


def _counting(nodes: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [node for node in nodes if "totalKeysExamined" in node]


def _returned(explained: Document, stats: list[Mapping[str, Any]]) -> int:
    stages = explained.get("stages")
    if stages:
        return int(stages[-1].get("nReturned", 0))
    return int(stats[0]["nReturned"]) if stats else 0


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    # Plans that were considered and not taken stand beside the one that was executed.
    if isinstance(value, Mapping):
        yield value
        for name, inner in value.items():
            if name not in {"rejectedPlans", "allPlansExecution", "command"}:
                yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)
