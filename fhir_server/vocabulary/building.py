"""Making the file of a code system: concepts are taken in as they come, and put in order at the end."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from fhir_server.vocabulary.records import ConceptRecord, SystemRecord
from fhir_server.vocabulary.schema import CLOSED, FORMAT, GATHERED, ORDERED, TABLES, TEXT_BITS
from terminology.content.text import fold, tokens

Progress = Callable[[str, int], None]

_BATCH = 5_000
_MOST_TEXTS = (1 << TEXT_BITS) - 2


class Builder:
    """Builds the file at a path; an unfinished one of an earlier attempt is begun anew."""

    def __init__(self, path: Path, progress: Progress = lambda step, number: None) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._progress = progress
        self.connection = sqlite3.connect(path, isolation_level=None)
        # Nothing reads it before it is whole, so a crash may leave anything.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", "cache_size=-65536", "page_size=8192"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(TABLES + GATHERED)
        self._names: dict[str, int] = {}
        self.count = 0

    def add(self, records: Iterable[ConceptRecord]) -> None:
        """Take in concepts; of two with the same code the first counts."""
        waiting = iter(records)
        while some := list(islice(waiting, _BATCH)):
            self._add(some)
            self._progress("concepts", self.count)

    def add_members(self, refset: str, codes: Iterable[str]) -> None:
        """Take in the members of a reference set."""
        rows = ((refset, code) for code in codes)
        self.connection.executemany("INSERT INTO gathered_member VALUES (?, ?)", rows)

    def _add(self, records: list[ConceptRecord]) -> None:
        concepts, edges, facts, texts = [], [], [], []
        for record in records:
            self.count += 1
            no = self.count
            concepts.append((no, record.code, fold(record.code), record.inactive, record.abstract, _body(record)))
            edges += [(no, parent) for parent in dict.fromkeys(record.parents)]
            facts += [(self._name(each.name, each.type), each.value, no, each.group) for each in record.facts]
            texts += [(no << TEXT_BITS | place, words) for place, words in enumerate(_words(record))]
        connection = self.connection
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO concept(no, code, folded, inactive, abstract, body) VALUES (?, ?, ?, ?, ?, ?)", concepts
        )
        connection.executemany("INSERT INTO gathered_edge VALUES (?, ?)", edges)
        connection.executemany("INSERT INTO gathered_fact VALUES (?, ?, ?, ?)", facts)
        connection.executemany("INSERT INTO text(rowid, words) VALUES (?, ?)", texts)
        connection.execute("COMMIT")

    def _name(self, code: str, kind: str) -> int:
        number = self._names.get(code)
        if number is None:
            number = self._names[code] = len(self._names) + 1
            self.connection.execute("INSERT INTO name VALUES (?, ?, ?)", (number, code, kind))
        return number

    def finish(self, system: SystemRecord) -> None:
        """Put all in order, and close the file."""
        self._progress("putting in order", self.count)
        self._drop_repeated()
        self.connection.executescript(f"BEGIN; {ORDERED} COMMIT;")
        self._progress("hierarchy", self.count)
        with_ancestors = _pairs(_ancestors(self._parents()))
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO gathered_below VALUES (?, ?)", with_ancestors)
        self.connection.execute("COMMIT")
        self._progress("writing", self.count)
        self.connection.executescript(f"BEGIN; {CLOSED} COMMIT;")
        [(count,)] = self.connection.execute("SELECT count(*) FROM concept")
        about = {"format": str(FORMAT), "count": str(count), "system": msgspec.json.encode(system).decode()}
        self.connection.executemany("INSERT INTO about VALUES (?, ?)", sorted(about.items()))
        if not system.case_sensitive:
            self.connection.execute("CREATE INDEX concept_folded ON concept(folded)")
        self.connection.execute("ANALYZE")
        self.connection.execute("VACUUM")
        self.connection.close()
        self.count = count

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        self.connection.close()
        self._path.unlink(missing_ok=True)

    def _drop_repeated(self) -> None:
        self.connection.execute("DELETE FROM concept WHERE no NOT IN (SELECT min(no) FROM concept GROUP BY code)")

    def _parents(self) -> dict[int, list[int]]:
        parents: dict[int, list[int]] = {}
        for child, parent in self.connection.execute("SELECT child, parent FROM edge INDEXED BY edge_child"):
            parents.setdefault(child, []).append(parent)
        return parents


def _body(record: ConceptRecord) -> bytes:
    return msgspec.msgpack.encode(
        (
            record.display,
            record.definition,
            record.status,
            [tuple(each) for each in record.texts],
            [(each.name, each.value, each.type) for each in record.facts],
        )
    )


def _words(record: ConceptRecord) -> Iterator[str]:
    """Yield the words of the code and of each text once."""
    texts = [record.code, *([record.display] if record.display else []), *(each.value for each in record.texts)]
    lines = dict.fromkeys(" ".join(tokens(each)) for each in texts)
    return islice((each for each in lines if each), _MOST_TEXTS)


def _ancestors(parents: dict[int, list[int]]) -> dict[int, array[int]]:
    """Return all ancestors of each concept that has any; a ring ends where it began."""
    ancestors: dict[int, array[int]] = {}
    under_way: set[int] = set()
    for start in parents:
        waiting = [start]
        while waiting:
            concept = waiting[-1]
            if concept in ancestors:
                waiting.pop()
                continue
            missing = (
                []
                if concept in under_way
                else [each for each in parents.get(concept, ()) if each in parents and each not in ancestors]
            )
            under_way.add(concept)
            missing = [each for each in missing if each not in under_way]
            if missing:
                waiting += missing
                continue
            above: set[int] = set()
            for parent in parents[concept]:
                above.add(parent)
                above.update(ancestors.get(parent, ()))
            above.discard(concept)
            ancestors[concept] = array("I", sorted(above))
            waiting.pop()
    return ancestors


def _pairs(ancestors: dict[int, array[int]]) -> Iterator[tuple[int, int]]:
    for concept, above in ancestors.items():
        for ancestor in above:
            yield ancestor, concept
