"""A code system in a file, as the library asks for it: every question is one look at an index of the file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.vocabulary.queries import Condition, everything, of_filter, of_words, selection_of
from fhir_server.vocabulary.records import SystemRecord
from fhir_server.vocabulary.schema import FORMAT
from fhir_server.work.budget import OutOfBudget, spend
from terminology.content import filters
from terminology.content.provider import Filter, Selection
from terminology.content.text import fold, words
from terminology.model.concepts import CodeSystemInfo, Concept, Designation, Property, PropertyDefinition
from terminology.model.issues import TerminologyError, issue

_SELECT = "SELECT no, code, inactive, abstract, body FROM concept"
_COUNTED = 3_000
"""Members up to which a set is counted by walking it."""
_REMEMBERED = 5_000
_STEPS, _SPENT = 50_000, 500
"""Instructions of a query between two looks at the budget, and what they are counted for."""

Row = tuple[int, str, int, int, bytes]


class MappedCodeSystem:
    """One version of a code system; threads may share it, each has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        about = dict(self.connection.execute("SELECT key, value FROM about"))
        if about.get("format") != str(FORMAT):
            raise ValueError(f"{path.name} is of another format.")
        self._system = msgspec.json.decode(about["system"], type=SystemRecord)
        self.size = int(about["count"])
        self._info = _info(self._system)
        self._types = {each.code: each.type for each in self._info.properties}
        self._uris = {each.code: each.uri for each in self._info.properties}
        self.concept_of_row = lru_cache(maxsize=_REMEMBERED)(self._read)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
            connection.execute("PRAGMA mmap_size=2147483648")
            connection.execute("PRAGMA cache_size=-512")
            connection.create_function("matches", 2, _matches, deterministic=True)
            connection.set_progress_handler(self._goes_on, _STEPS)
            self._local.connection = connection
        return connection

    def _goes_on(self) -> int:
        """Count the work of a query for the request that it is for; ends it where that is too much."""
        try:
            spend(_SPENT)
        except OutOfBudget as error:
            self._local.ended = error
            return 1
        return 0

    def ask(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query; raises OutOfBudget where they cost more than the request may."""
        try:
            yield from self.connection.execute(query, parameters)
        except sqlite3.OperationalError as error:
            ended = getattr(self._local, "ended", None)
            if ended is None:  # the query is larger than SQLite takes
                fault = issue("error", "too-costly", None, "TOO_MANY_CONDITIONS", str(error))
                raise TerminologyError(fault) from error
            self._local.ended = None
            raise ended from error

    @property
    def info(self) -> CodeSystemInfo:
        """What the code system says of itself."""
        return self._info

    def concept(self, code: str) -> Concept | None:
        """Return the concept that a code means; whatever its case, where the system is not case sensitive."""
        row = self.connection.execute(f"{_SELECT} WHERE code = ?", (code,)).fetchone()
        if row is None and not self._info.case_sensitive:
            row = self.connection.execute(f"{_SELECT} WHERE folded = ? ORDER BY no", (fold(code),)).fetchone()
        return None if row is None else self.concept_of_row(row)

    def number(self, code: str) -> int | None:
        """Return the number of the concept with a code."""
        row = self.connection.execute("SELECT no FROM concept WHERE code = ?", (code,)).fetchone()
        return None if row is None else int(row[0])

    def children(self, code: str | None) -> Sequence[str]:
        """Return the codes right below a code; the roots below None."""
        if code is None:
            condition, values = "no NOT IN (SELECT child FROM edge) ORDER BY no", ()
            return [each for (each,) in self.connection.execute(f"SELECT code FROM concept WHERE {condition}", values)]
        return self._neighbours("parent", "child", code)

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes right above a code."""
        return self._neighbours("child", "parent", code)

    def _neighbours(self, here: str, there: str, code: str) -> list[str]:
        query = (
            f"SELECT o.code FROM concept c JOIN edge e ON e.{here} = c.no JOIN concept o ON o.no = e.{there} "
            "WHERE c.code = ? ORDER BY o.no"
        )
        return [each for (each,) in self.connection.execute(query, (code,))]

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether the first is an ancestor of the second, or the same."""
        query = (
            "SELECT 1 FROM concept a JOIN concept c ON c.code = ? WHERE a.code = ? AND (a.no = c.no OR EXISTS "
            "(SELECT 1 FROM below b WHERE b.ancestor = a.no AND b.concept = c.no))"
        )
        return self.connection.execute(query, (code, ancestor)).fetchone() is not None

    def understands(self, condition: Filter) -> bool:
        """Whether the filter has a meaning here."""
        if condition.property in ("constraint", "expression") and condition.op == "=":
            return self._info.url.startswith("http://snomed.info/")
        properties = {*self._types, *self._system.extra.get("filters", "").split(",")}
        return filters.understands(condition, properties - {""})

    def select(self, selection: Selection) -> MappedSet:
        """Return the concepts selected."""
        conditions = [of_filter(self, each, is_a=self._is_a) for each in selection.filters]
        searched = words(selection.text or "")
        if searched:
            conditions.append(of_words(self, searched))
        if selection.active_only:
            conditions.append(Condition("(SELECT inactive FROM concept WHERE no = {no}) = 0"))
        return MappedSet(self, conditions)

    @property
    def _is_a(self) -> bool:
        return self._info.hierarchy_meaning in (None, "is-a", "grouped-by", "part-of", "classified-with")

    def _read(self, row: Row) -> Concept:
        _, code, inactive, abstract, body = row
        display, definition, status, texts, facts = msgspec.msgpack.decode(body)
        designations = [Designation(value, language, _use(use), preferred) for value, language, use, preferred in texts]
        if display and not any(each.value == display and each.is_display for each in designations):
            designations.insert(0, Designation(display, self._system.language, None, True))
        properties = [Property(name, kind, _value(kind, value), self._uris.get(name)) for name, value, kind in facts]
        return Concept(
            code,
            display,
            definition,
            tuple(designations),
            tuple(properties),
            abstract=bool(abstract),
            inactive=bool(inactive),
            status=status,
        )


class MappedSet:
    """Some concepts of a code system in a file, by conditions that all hold."""

    def __init__(self, system: MappedCodeSystem, conditions: Sequence[Condition]) -> None:
        self._system = system
        self._conditions = conditions or [everything()]
        self._count: int | None = None

    def __contains__(self, code: str) -> bool:
        number = self._system.number(code)
        if number is None:
            return False
        parameters: dict[str, Any] = {"no": number}
        for each in self._conditions:
            parameters |= each.parameters
        tests = " AND ".join(f"({each.test.format(no=':no')})" for each in self._conditions)
        [(admitted,)] = self._system.ask(f"SELECT {tests}", parameters)
        return bool(admitted)

    def count(self) -> int | None:
        """Return how many there are, None for very many that no index has counted."""
        if self._count is None:
            whole = [each.size for each in self._conditions]
            if len(whole) == 1 and whole[0] is not None and self._conditions[0].exact:
                self._count = whole[0]
                return self._count
            query, parameters = selection_of(self._conditions)
            limited = f"SELECT count(*) FROM (SELECT 1 FROM ({query}) LIMIT {_COUNTED + 1})"
            [(number,)] = self._system.ask(limited, parameters)
            self._count = -1 if number > _COUNTED else number
        return None if self._count < 0 else self._count

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return the concepts from the offset on."""
        query, parameters = selection_of(self._conditions)
        most = -1 if limit is None else limit
        rows = self._system.ask(
            "SELECT c.no, c.code, c.inactive, c.abstract, c.body FROM "
            f"(SELECT no FROM ({query}) LIMIT :limit OFFSET :offset) s CROSS JOIN concept c ON c.no = s.no",
            {**parameters, "limit": most, "offset": offset},
        )
        return map(self._system.concept_of_row, rows)


def _matches(pattern: str, value: str) -> bool:
    return filters.pattern(pattern).fullmatch(value) is not None


def _use(use: list[str] | None) -> dict[str, str] | None:
    return None if use is None else {"system": use[0], "code": use[1], "display": use[2]}


def _value(kind: str, value: str) -> Any:
    if kind == "boolean":
        return value == "true"
    if kind == "integer":
        return int(value)
    return value


def _info(system: SystemRecord) -> CodeSystemInfo:
    return CodeSystemInfo(
        url=system.url,
        version=system.version,
        name=system.name,
        title=system.title,
        status="active",
        language=system.language,
        case_sensitive=system.case_sensitive,
        hierarchy_meaning=system.hierarchy_meaning,
        compositional=system.compositional,
        value_set=system.value_set,
        properties=tuple(PropertyDefinition(code, uri, kind) for code, kind, uri in system.properties),
    )
