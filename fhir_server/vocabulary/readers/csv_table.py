"""A code system as a CSV file with a head: `code` and `display`, and what else its columns are called.

`parent` may name several codes, separated by `|`, as may every further column, each of which is a property;
`definition`, `inactive`, `abstract` and `status` are what they are in FHIR; `display:de` is a designation in German.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

_OWN = frozenset({"code", "display", "definition", "parent", "inactive", "abstract", "status"})
_TRUE = frozenset({"1", "true", "yes", "y"})


def read(release: Release, builder: Builder, url: str | None, version: str | None, title: str | None) -> SystemRecord:
    """Take in the rows; raises SourceError without a url and a version, which the file cannot tell."""
    if not url or not version:
        raise SourceError("A CSV does not say which code system it is: give --url and --system-version.")
    name = release.one(r".*\.(?:csv|CSV|txt)", "the concepts")
    columns: dict[str, None] = {}
    builder.add(_concepts(release, name, columns))
    properties = [(each, "code" if each == "parent" else "string", None) for each in columns]
    own_title = title or url
    return SystemRecord(url=url, version=version, name="CodeSystem", title=own_title, properties=properties)


def _concepts(release: Release, name: str, columns: dict[str, None]) -> Iterator[ConceptRecord]:
    for number, row in enumerate(release.records(name, "code", "display"), 2):
        code = row["code"].strip()
        if not code:
            raise SourceError(f"{name}, line {number} has no code.")
        further = {key: value for key, value in row.items() if key not in _OWN and value.strip()}
        facts = [
            Fact(key, each.strip(), "string")
            for key, value in further.items()
            if not key.startswith("display:")
            for each in value.split("|")
            if each.strip()
        ]
        columns.update(dict.fromkeys(each.name for each in facts))
        yield ConceptRecord(
            code=code,
            display=row["display"].strip() or None,
            definition=row.get("definition", "").strip() or None,
            texts=[
                Text(value.strip(), key.partition(":")[2])
                for key, value in further.items()
                if key.startswith("display:")
            ],
            facts=facts,
            parents=[each.strip() for each in row.get("parent", "").split("|") if each.strip()],
            inactive=row.get("inactive", "").strip().lower() in _TRUE,
            abstract=row.get("abstract", "").strip().lower() in _TRUE,
            status=row.get("status", "").strip() or None,
        )
