"""Code systems of hundreds of thousands of concepts: loaded from their publishers' files, and asked by the library.

Each is one read-only file, an SQLite database, that all workers of a machine map; MongoDB keeps it, and hands it to
each machine that asks. `readers` know the publishers' formats, `building` makes the file, `mapped` answers the
library from it, `ecl_queries` turns SNOMED CT's expressions into conditions, and `loading` carries out a load.
docs/decisions/0047-code-systems-as-files.md has the reasons.
"""
