"""SNOMED CT's Release Format 2: snapshots, full releases, and deltas over them, in a folder or a zip.

Rows are gathered in a table by their id, so that of several states of a component the last one counts.
https://docs.snomed.org/snomed-ct-specifications/snomed-ct-release-file-specification
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

URL = "http://snomed.info/sct"
_IS_A = 116680003
_FSN, _SYNONYM = 900000000000003001, 900000000000013009
_PREFERRED, _DEFINED = 900000000000548007, 900000000000073002
_CORE, _MODEL = "900000000000207008", "900000000000012004"
_US_ENGLISH = 900000000000509007
_USES = {_FSN: (URL, str(_FSN), "Fully specified name"), _SYNONYM: (URL, str(_SYNONYM), "Synonym")}

_TABLES = """
CREATE TEMP TABLE sct_concept(id INTEGER PRIMARY KEY, time TEXT, active INT, module INT, status INT);
CREATE TEMP TABLE sct_text(id INTEGER PRIMARY KEY, time TEXT, active INT, concept INT, lang TEXT, type INT, term TEXT);
CREATE TEMP TABLE sct_relation(
    id INTEGER PRIMARY KEY, time TEXT, active INT, source INT, target TEXT, grp INT, type INT
);
CREATE TEMP TABLE sct_language(
    text INT, refset INT, time TEXT, active INT, accepted INT, PRIMARY KEY(text, refset)
) WITHOUT ROWID;
CREATE TEMP TABLE sct_member(
    refset INT, concept INT, time TEXT, active INT, PRIMARY KEY(refset, concept)
) WITHOUT ROWID;
"""
_PROPERTIES = (
    ("inactive", "boolean", "http://snomed.info/field/Concept.active"),
    ("moduleId", "code", "http://snomed.info/field/Concept.moduleId"),
    ("effectiveTime", "string", "http://snomed.info/field/Concept.effectiveTime"),
    ("sufficientlyDefined", "boolean", None),
)
_KIND = r"(?:Snapshot|Full|Delta)"


def read(releases: Sequence[Release], builder: Builder, version: str | None = None) -> SystemRecord:
    """Take in the releases, the base first and deltas after it, and return what the code system is.

    The version is `http://snomed.info/sct/MODULE/version/DATE`, of the edition's module and the last release date,
    where none is given.
    """
    connection = builder.connection
    connection.executescript(_TABLES)
    for release in releases:
        _gather(release, connection)
    [(count,)] = connection.execute("SELECT count(*) FROM sct_concept")
    if not count:
        raise SourceError("The release has no concepts: no file sct2_Concept_Snapshot_... in it has rows.")
    connection.execute("CREATE INDEX temp.text_concept ON sct_text(concept)")
    connection.execute("CREATE INDEX temp.relation_source ON sct_relation(source)")
    builder.add(_concepts(connection))
    query = "SELECT refset, concept FROM sct_member WHERE active = 1 ORDER BY refset, concept"
    for refset, rows in groupby(connection.execute(query), key=lambda row: row[0]):
        builder.add_members(str(refset), (str(concept) for _, concept in rows))
    system = _system(connection, version)
    for name in ("concept", "text", "relation", "language", "member"):
        connection.execute(f"DROP TABLE sct_{name}")
    return system


_Columns = tuple[int, ...]
_RELATION: _Columns = (0, 1, 2, 4, 5, 6, 7)


def _gather(release: Release, connection: sqlite3.Connection) -> None:
    def gather(pattern: str, columns: _Columns, into: str, key: str, *, needed: bool = True) -> None:
        for name in _of_kind(release, pattern, needed=needed):
            rows = (tuple(row[place] for place in columns) for row in _body(release, name, max(columns) + 1))
            _store(connection, into, key, rows, len(columns))

    texts = "sct_text(id, time, active, concept, lang, type, term)"
    gather(rf"x?sct2_Concept_{_KIND}_.*\.txt", (0, 1, 2, 3, 4), "sct_concept(id, time, active, module, status)", "id")
    gather(rf"x?sct2_Description_{_KIND}.*\.txt", (0, 1, 2, 4, 5, 6, 7), texts, "id")
    gather(rf"x?sct2_TextDefinition_{_KIND}.*\.txt", (0, 1, 2, 4, 5, 6, 7), texts, "id", needed=False)
    relations = "sct_relation(id, time, active, source, target, grp, type)"
    gather(rf"x?sct2_Relationship_{_KIND}_.*\.txt", _RELATION, relations, "id")
    gather(rf"x?sct2_RelationshipConcreteValues_{_KIND}_.*\.txt", _RELATION, relations, "id", needed=False)
    language = "sct_language(text, refset, time, active, accepted)"
    gather(rf"x?der2_cRefset_Language{_KIND}.*\.txt", (5, 4, 1, 2, 6), language, "text, refset", needed=False)
    members = "sct_member(refset, concept, time, active)"
    others = rf"x?der2_[a-zA-Z]*Refset_(?!Language|ModuleDependency|RefsetDescriptor).*{_KIND}.*\.txt"
    gather(others, (4, 5, 1, 2), members, "refset, concept", needed=False)


def _of_kind(release: Release, pattern: str, *, needed: bool = True) -> list[str]:
    """Return the files that match: of a release that has snapshots beside full files, the snapshots."""
    names = release.matching(pattern)
    snapshots = [each for each in names if "Snapshot" in each]
    delta = any("Delta" in each for each in release.matching(rf"x?sct2_Concept_{_KIND}_.*\.txt"))
    if needed and not names and not delta:
        raise SourceError(f"{release.path} has no file {pattern}.")
    return snapshots or names


def _body(release: Release, name: str, columns: int) -> Iterator[list[str]]:
    rows = release.rows(name, "\t", columns)
    next(rows, None)
    return rows


def _store(connection: sqlite3.Connection, into: str, key: str, rows: Iterator[tuple[str, ...]], columns: int) -> None:
    names = [each.strip() for each in into.partition("(")[2].rstrip(")").split(",")]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key.split(", "))
    marks = ", ".join("?" * columns)
    insert = (
        f"INSERT INTO {into} VALUES ({marks}) ON CONFLICT({key}) DO UPDATE SET {changes} WHERE excluded.time >= time"
    )
    connection.execute("BEGIN")
    connection.executemany(insert, rows)
    connection.execute("COMMIT")


def _concepts(connection: sqlite3.Connection) -> Iterator[ConceptRecord]:
    texts = _grouped(
        connection,
        "SELECT t.concept, t.id, t.lang, t.type, t.term, COALESCE(max(l.accepted = ?1 AND l.refset = ?2), 0), "
        "COALESCE(max(l.accepted = ?1), 0) FROM sct_text t LEFT JOIN sct_language l ON l.text = t.id AND l.active = 1 "
        "WHERE t.active = 1 GROUP BY t.concept, t.id ORDER BY t.concept",
        (_PREFERRED, _US_ENGLISH),
    )
    relations = _grouped(
        connection,
        "SELECT source, type, target, grp FROM sct_relation WHERE active = 1 ORDER BY source, grp, type, target",
    )
    for row in connection.execute("SELECT id, time, active, module, status FROM sct_concept ORDER BY id"):
        yield _concept(row, texts(row[0]), relations(row[0]))


class _grouped:
    """Hands out the rows of a query by their first column, which is asked for in rising order."""

    def __init__(self, connection: sqlite3.Connection, query: str, values: tuple[int, ...] = ()) -> None:
        self._groups = groupby(connection.execute(query, values), key=lambda row: row[0])
        self._next = next(self._groups, None)
        self._rows = [] if self._next is None else list(self._next[1])

    def __call__(self, key: int) -> list[tuple[int | str, ...]]:
        while self._next is not None and self._next[0] < key:
            self._next = next(self._groups, None)
            self._rows = [] if self._next is None else list(self._next[1])
        return self._rows if self._next is not None and self._next[0] == key else []


def _concept(row: tuple[int, str, int, int, int], texts: Sequence[tuple], relations: Sequence[tuple]) -> ConceptRecord:  # type: ignore[type-arg]
    number, time, active, module, status = row
    facts = [Fact("moduleId", str(module)), Fact("effectiveTime", time, "string")]
    facts.append(Fact("sufficientlyDefined", str(status == _DEFINED).lower(), "boolean"))
    facts += [_fact(each) for each in relations if each[1] != _IS_A]
    display = _display(texts)
    return ConceptRecord(
        code=str(number),
        display=display,
        definition=next((str(each[4]) for each in texts if each[3] not in _USES), None),
        texts=[_text(each, display) for each in texts if each[3] in _USES],
        facts=facts,
        parents=[str(each[2]) for each in relations if each[1] == _IS_A],
        inactive=not active,
    )


def _fact(relation: tuple) -> Fact:  # type: ignore[type-arg]
    _, name, target, group = relation
    text = str(target)
    if text.startswith(("#", '"')):  # a concrete value: a number, or a text
        return Fact(str(name), text.lstrip("#").strip('"'), "decimal" if text[0] == "#" else "string", int(group))
    return Fact(str(name), text, "code", int(group))


def _display(texts: Sequence[tuple]) -> str | None:  # type: ignore[type-arg]
    """Return the preferred synonym, of US English where there is one; else any synonym, or the full name."""

    def rank(each: tuple) -> tuple[bool, bool, bool]:  # type: ignore[type-arg]
        return each[3] != _SYNONYM, not each[5], not each[6]

    named = [each for each in texts if each[3] in _USES]
    return str(min(named, key=rank)[4]) if named else None


def _text(each: tuple, display: str | None) -> Text:  # type: ignore[type-arg]
    preferred = each[4] == display and each[3] == _SYNONYM
    return Text(str(each[4]), str(each[2]), None if preferred else _USES[each[3]], preferred)


def _system(connection: sqlite3.Connection, version: str | None) -> SystemRecord:
    if version is None:
        [(time,)] = connection.execute(
            "SELECT max(time) FROM (SELECT max(time) AS time FROM sct_concept UNION ALL SELECT max(time) FROM sct_text)"
        )
        modules = [str(module) for (module,) in connection.execute("SELECT DISTINCT module FROM sct_concept")]
        # An extension's module stands on the core; of several the operator says which edition it is.
        own = sorted(set(modules) - {_CORE, _MODEL})
        version = f"{URL}/{own[0] if len(own) == 1 else _CORE}/version/{time}"
    names = "SELECT DISTINCT type FROM sct_relation WHERE active = 1 AND type <> ? ORDER BY type"
    attributes = [
        (str(name), "code", f"http://snomed.info/id/{name}") for (name,) in connection.execute(names, (_IS_A,))
    ]
    return SystemRecord(
        url=URL,
        version=version,
        name="SNOMED_CT",
        title="SNOMED CT",
        properties=[*_PROPERTIES, *attributes],
        compositional=True,
        value_set=f"{URL}?fhir_vs",
        copyright="SNOMED CT is the property of SNOMED International and used under its licence.",
    )
