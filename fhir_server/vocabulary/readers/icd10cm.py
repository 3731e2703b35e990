"""ICD-10-CM as CDC publishes it: the order file with all codes and headings, or the tabular list as XML.

https://www.cdc.gov/nchs/icd/icd-10-cm/files.html, https://terminology.hl7.org/ICD.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.readers.xml_tree import elements
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

URL = "http://hl7.org/fhir/sid/icd-10-cm"
_YEAR = re.compile(r"(20\d\d)")
_NOTES = ("inclusionTerm", "includes")


def read(release: Release, builder: Builder, version: str | None) -> SystemRecord:
    """Take in the order file where there is one, else the tabular list; the version is the year in its name."""
    order = release.matching(r"icd10cm[-_]order[-_]\d{4}.*\.txt")
    tabular = release.matching(r"icd10cm[-_]tabular[-_]\d{4}.*\.xml")
    if not order and not tabular:
        raise SourceError(f"{release.path} has neither icd10cm_order_YEAR.txt nor icd10cm_tabular_YEAR.xml.")
    name = (tabular or order)[0]
    match = _YEAR.search(name.rpartition("/")[2])
    builder.add(_of_tabular(release, name) if tabular else _of_order(release, name))
    return SystemRecord(
        url=URL,
        version=version or (match[1] if match else "unknown"),
        name="ICD10CM",
        title="International Classification of Diseases, 10th Revision, Clinical Modification",
        properties=[("billable", "boolean", None)],
        case_sensitive=False,
        value_set=f"{URL}/vs",
    )


def _dotted(code: str) -> str:
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


def _of_order(release: Release, name: str) -> Iterator[ConceptRecord]:
    """Yield the codes of the order file, each below the longest heading that begins it."""
    there: set[str] = set()
    for number, line in enumerate(release.lines(name), 1):
        if not line.strip():
            continue
        code, flag, short, long = line[6:14].strip(), line[14:15], line[16:77].strip(), line[77:].strip()
        if not re.fullmatch(r"[A-Z][0-9][0-9A-Z]{1,5}", code) or flag not in ("0", "1"):
            raise SourceError(f"{name}, line {number} is none of an order file.")
        parent = next((code[:end] for end in range(len(code) - 1, 2, -1) if code[:end] in there), None)
        there.add(code)
        yield ConceptRecord(
            code=_dotted(code),
            display=long or short,
            texts=[Text(short, "en")] if short and short != long else (),
            facts=[Fact("billable", "true" if flag == "1" else "false", "boolean")],
            parents=[_dotted(parent)] if parent else (),
        )


def _of_tabular(release: Release, name: str) -> Iterator[ConceptRecord]:
    """Yield chapters, sections and codes of the tabular list."""
    with release.open(name) as file:
        for chapter in elements(file, "chapter", name):
            number = (chapter.findtext("name") or "").strip()
            above = f"chapter-{number}"
            yield ConceptRecord(above, _clean(chapter.findtext("desc")), abstract=True)
            for section in chapter.iter("section"):
                heading = section.get("id") or ""
                if section.find("diag") is None:
                    continue
                yield ConceptRecord(heading, _clean(section.findtext("desc")), parents=[above], abstract=True)
                waiting = [(each, heading) for each in reversed(section.findall("diag"))]
                while waiting:
                    diagnosis, parent = waiting.pop()
                    code = (diagnosis.findtext("name") or "").strip()
                    below = diagnosis.findall("diag")
                    notes = [_clean(note.text) for kind in _NOTES for note in diagnosis.findall(f"{kind}/note")]
                    yield ConceptRecord(
                        code=code,
                        display=_clean(diagnosis.findtext("desc")),
                        texts=[Text(each, "en") for each in notes if each],
                        facts=[Fact("billable", "false" if below else "true", "boolean")],
                        parents=[parent],
                    )
                    waiting.extend((each, code) for each in reversed(below))


def _clean(text: str | None) -> str | None:
    return " ".join(text.split()) if text else None
