"""Classifications in ClaML, such as WHO's ICD-10 and its national editions.

https://www.iso.org/standard/69318.html (Classification Markup Language)
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.readers.xml_tree import elements
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

ICD10 = "http://hl7.org/fhir/sid/icd-10"


def read(release: Release, builder: Builder, url: str | None, version: str | None) -> SystemRecord:
    """Take in the classes of a ClaML file; its title tells the version, unless it is given."""
    name = release.one(r".*\.(?:xml|claml)", "ClaML")
    title, stated, language = _title(release, name)
    if not version and not stated:
        raise SourceError(f"{name} has no version in its title: give --system-version.")
    builder.add(_classes(release, name, language))
    return SystemRecord(
        url=url or ICD10,
        version=version or stated,
        name="Classification",
        title=title or "Classification",
        properties=[("kind", "code", None), ("usage", "code", None)],
        case_sensitive=False,
        language=language,
    )


def _title(release: Release, name: str) -> tuple[str, str, str]:
    language = "en"
    with release.open(name) as file:
        for element in elements(file, "*", name):
            if element.tag == "Meta" and element.get("name") == "lang":
                language = element.get("value") or language
            if element.tag == "Title":
                return (
                    _text(element) or element.get("name", ""),
                    element.get("version", ""),
                    language,
                )
            if element.tag == "Class":
                break
    return "", "", language


def _classes(release: Release, name: str, language: str) -> Iterator[ConceptRecord]:
    with release.open(name) as file:
        for element in elements(file, "Class", name):
            code = element.get("code")
            if not code:
                raise SourceError(f"{name} has a class without a code, on line {element.sourceline}.")
            labels = [(each.get("kind"), _label(each, language)) for each in element.findall("Rubric")]
            display = next((text for kind, text in labels if kind == "preferred" and text), None)
            longer = [text for kind, text in labels if kind in ("preferredLong", "inclusion") and text]
            facts = [Fact("kind", element.get("kind", "category"))]
            facts += [Fact("usage", element.get("usage", ""))] if element.get("usage") else []
            yield ConceptRecord(
                code=code,
                display=display,
                definition=next((text for kind, text in labels if kind == "definition" and text), None),
                texts=[Text(each, language) for each in dict.fromkeys(longer) if each != display],
                facts=facts,
                parents=[each.get("code", "") for each in element.findall("SuperClass")],
            )


def _label(rubric: etree._Element, language: str) -> str:
    label = rubric.find("Label")
    return "" if label is None else _text(label)


def _text(element: etree._Element) -> str:
    return " ".join("".join(map(str, element.itertext())).split())
