"""RxNorm's Rich Release Format: RXNCONSO, RXNREL and RXNSAT, of which RxNorm's own atoms are the concepts.

https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html, https://terminology.hl7.org/RxNorm.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

URL = "http://www.nlm.nih.gov/research/umls/rxnorm"
_ORDER = (
    "BN", "IN", "PIN", "MIN", "SCDC", "SCDF", "SCD", "GPCK", "SBDC", "SBDF", "SBD", "BPCK", "DFG", "DF", "SCDG", "SBDG",
)  # fmt: skip
_PROPERTIES = (("STY", "string", None), ("SAB", "string", None), ("TTY", "string", None))
_TABLES = """
CREATE TEMP TABLE rx_text(cui TEXT, tty TEXT, term TEXT, suppressed INT, lang TEXT);
CREATE TEMP TABLE rx_relation(cui TEXT, name TEXT, target TEXT);
CREATE TEMP TABLE rx_fact(cui TEXT, name TEXT, value TEXT);
"""


def read(release: Release, builder: Builder, version: str | None) -> SystemRecord:
    """Take in a release; raises SourceError without a version, which is the date of the release."""
    if not version:
        raise SourceError("Say which release it is, such as --system-version 12022024.")
    connection = builder.connection
    connection.executescript(_TABLES)
    conso = release.rows(release.one(r"RXNCONSO\.RRF", "concepts"), "|", 18)
    connection.executemany(
        "INSERT INTO rx_text VALUES (?, ?, ?, ?, ?)",
        ((r[0], r[12], r[14], r[16] in ("O", "Y", "E"), r[1]) for r in conso if r[11] == "RXNORM"),
    )
    for name in release.matching(r"RXNREL\.RRF"):
        related = (r for r in release.rows(name, "|", 16) if r[10] == "RXNORM" and r[2] == "CUI" and r[7])
        # A row says what the second concept is to the first: `RXCUI2 rela RXCUI1`.
        connection.executemany("INSERT INTO rx_relation VALUES (?, ?, ?)", ((r[4], r[7], r[0]) for r in related))
    for name in release.matching(r"RXNSAT\.RRF"):
        stated = (r for r in release.rows(name, "|", 13) if r[9] == "RXNORM" and r[0])
        connection.executemany("INSERT INTO rx_fact VALUES (?, ?, ?)", ((r[0], r[8], r[10]) for r in stated))
    for name in release.matching(r"RXNSTY\.RRF"):
        types = ((r[0], r[3]) for r in release.rows(name, "|", 4))
        connection.executemany("INSERT INTO rx_fact VALUES (?, 'STY', ?)", types)
    for table in ("text", "relation", "fact"):
        connection.execute(f"CREATE INDEX temp.{table}_cui ON rx_{table}(cui)")
    builder.add(_concepts(connection))
    system = _system(connection, version)
    for table in ("text", "relation", "fact"):
        connection.execute(f"DROP TABLE rx_{table}")
    return system


def _concepts(connection: sqlite3.Connection) -> Iterator[ConceptRecord]:
    query = "SELECT cui, tty, term, suppressed, lang FROM rx_text ORDER BY CAST(cui AS INTEGER), cui, rowid"
    for cui, rows in groupby(connection.execute(query), key=lambda row: row[0]):
        texts = sorted(rows, key=lambda row: (row[3], _ORDER.index(row[1]) if row[1] in _ORDER else len(_ORDER)))
        relations = connection.execute("SELECT DISTINCT name, target FROM rx_relation WHERE cui = ?", (cui,)).fetchall()
        facts = connection.execute("SELECT DISTINCT name, value FROM rx_fact WHERE cui = ?", (cui,)).fetchall()
        kinds = dict.fromkeys(row[1] for row in texts)
        yield ConceptRecord(
            code=cui,
            display=texts[0][2],
            texts=[Text(term, "en") for term in dict.fromkeys(row[2] for row in texts[1:])],
            facts=[
                *(Fact("TTY", each, "string") for each in kinds),
                *(Fact(name, value, "string") for name, value in facts),
                *(Fact(name, target) for name, target in relations),
            ],
            parents=[target for name, target in relations if name == "isa"],
            inactive=all(row[3] for row in texts),
        )


def _system(connection: sqlite3.Connection, version: str) -> SystemRecord:
    names = [name for (name,) in connection.execute("SELECT DISTINCT name FROM rx_relation ORDER BY name")]
    own = {name for name, _, _ in _PROPERTIES}
    facts = [name for (name,) in connection.execute("SELECT DISTINCT name FROM rx_fact ORDER BY name")]
    properties = [
        *_PROPERTIES,
        *((name, "code", None) for name in names),
        *((name, "string", None) for name in facts if name not in own and name not in names),
    ]
    return SystemRecord(
        url=URL,
        version=version,
        name="RxNorm",
        title="RxNorm",
        properties=properties,
        value_set=f"{URL}/vs",
        copyright="Courtesy of the U.S. National Library of Medicine.",
    )
