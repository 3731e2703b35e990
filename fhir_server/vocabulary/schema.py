"""The tables of a code system's file.

A concept has a number; its place in every list is by that. Of a text the number is that of its concept, shifted, and
its place among the concept's texts.
"""

from __future__ import annotations

FORMAT = 1
TEXT_BITS = 12
"""Bits of a text's number that count the texts of a concept."""

TABLES = """
CREATE TABLE about(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE concept(
    no INTEGER PRIMARY KEY, code TEXT NOT NULL, folded TEXT, inactive INTEGER NOT NULL, abstract INTEGER NOT NULL,
    below INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL
);
CREATE TABLE name(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, type TEXT NOT NULL);
CREATE TABLE member(refset TEXT NOT NULL, concept INTEGER NOT NULL, PRIMARY KEY(refset, concept)) WITHOUT ROWID;
CREATE VIRTUAL TABLE text USING fts5(
    words, content='', detail=none, columnsize=0, prefix='1 2 3 4',
    tokenize="unicode61 remove_diacritics 0 tokenchars '_'"
);
"""

GATHERED = """
CREATE TABLE gathered_edge(child INTEGER NOT NULL, parent TEXT NOT NULL);
CREATE TABLE gathered_fact(name INTEGER NOT NULL, value TEXT NOT NULL, concept INTEGER NOT NULL, grp INTEGER NOT NULL);
CREATE TABLE gathered_member(refset TEXT NOT NULL, code TEXT NOT NULL);
CREATE TABLE gathered_below(ancestor INTEGER NOT NULL, concept INTEGER NOT NULL);
"""
"""What is taken in as it comes, and put in order at the end."""

ORDERED = """
CREATE UNIQUE INDEX concept_code ON concept(code);
CREATE TABLE edge(parent INTEGER NOT NULL, child INTEGER NOT NULL, PRIMARY KEY(parent, child)) WITHOUT ROWID;
INSERT OR IGNORE INTO edge SELECT c.no, g.child FROM gathered_edge g JOIN concept c ON c.code = g.parent
    WHERE c.no <> g.child ORDER BY 1, 2;
CREATE INDEX edge_child ON edge(child, parent);
CREATE TABLE fact(
    name INTEGER NOT NULL, value TEXT NOT NULL, concept INTEGER NOT NULL, grp INTEGER NOT NULL,
    PRIMARY KEY(name, value, concept, grp)
) WITHOUT ROWID;
INSERT OR IGNORE INTO fact SELECT name, value, concept, grp FROM gathered_fact ORDER BY 1, 2, 3, 4;
CREATE INDEX fact_concept ON fact(concept, name);
INSERT OR IGNORE INTO member SELECT g.refset, c.no FROM gathered_member g JOIN concept c ON c.code = g.code
    ORDER BY 1, 2;
CREATE TABLE below(ancestor INTEGER NOT NULL, concept INTEGER NOT NULL, PRIMARY KEY(ancestor, concept)) WITHOUT ROWID;
"""

CLOSED = """
INSERT INTO below SELECT ancestor, concept FROM gathered_below ORDER BY 1, 2;
UPDATE concept SET below = (SELECT count(*) FROM below WHERE ancestor = no)
    WHERE no IN (SELECT DISTINCT parent FROM edge);
DROP TABLE gathered_edge;
DROP TABLE gathered_fact;
DROP TABLE gathered_member;
DROP TABLE gathered_below;
INSERT INTO text(text) VALUES ('optimize');
"""
