"""LOINC's release: the table of terms, parts with their hierarchy, answer lists, and translations.

https://loinc.org/file-access/, https://terminology.hl7.org/LOINC.html
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers.files import Release, SourceError
from fhir_server.vocabulary.records import ConceptRecord, Fact, SystemRecord, Text

URL = "http://loinc.org"
_AXES = ("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS")
_TEXTS = (
    "STATUS", "CLASSTYPE", "CONSUMER_NAME", "ORDER_OBS", "HL7_ATTACHMENT_STRUCTURE", "PanelType", "AskAtOrderEntry",
    "UNITSREQUIRED", "VersionFirstReleased", "VersionLastChanged", "EXAMPLE_UCUM_UNITS",
)  # fmt: skip
_OTHER_NAMES = ("SHORTNAME", "DisplayName")
_INACTIVE = frozenset({"DEPRECATED", "DISCOURAGED"})
_VERSION = re.compile(r"(?i)loinc[_-]?v?(\d+\.\d+)")


def read(release: Release, builder: Builder, version: str | None) -> SystemRecord:
    """Take in a release; its version is in the name of its folder, unless it is given."""
    terms = release.one(r"Loinc\.csv", "terms")
    match = _VERSION.search(str(release.path)) or next(filter(None, map(_VERSION.search, release.names)), None)
    version = version or (match[1] if match else None)
    if not version:
        raise SourceError("The files do not tell the version of LOINC: give --system-version, such as 2.78.")
    parts, above = _parts(release), _hierarchy(release)
    lists = _answer_lists(release)
    builder.add(_terms(release, terms, parts, above, lists))
    builder.add(_part_concepts(release, above))
    builder.add(_answers(release, lists))
    builder.add(_list_concepts(lists))
    properties = [
        *((name, "code" if parts else "string", f"{URL}/property/{name}") for name in _AXES),
        *((name, "string", f"{URL}/property/{name}") for name in _TEXTS),
        ("parent", "code", None),
        ("ancestor", "code", None),
        ("answer-list", "code", None),
        ("LIST", "code", None),
    ]
    return SystemRecord(
        url=URL,
        version=version,
        name="LOINC",
        title="LOINC",
        properties=properties,
        case_sensitive=False,
        value_set=f"{URL}/vs",
        copyright="This content from LOINC is copyright Regenstrief Institute, Inc. and the LOINC Committee.",
        extra={"filters": "copyright,ancestor,parent,child,answers-for"},
    )


def _parts(release: Release) -> dict[str, dict[str, str]]:
    """Return for each term the numbers of the parts that its axes name."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    axes = {"TIME": "TIME_ASPCT", "SCALE": "SCALE_TYP", "METHOD": "METHOD_TYP"}
    for name in release.matching(r"LoincPartLink_Primary\.csv"):
        for row in release.records(name, "LoincNumber", "PartNumber", "PartTypeName"):
            kind = row["PartTypeName"].upper()
            parts[row["LoincNumber"]][axes.get(kind, kind)] = row["PartNumber"]
    return parts


def _hierarchy(release: Release) -> dict[str, list[str]]:
    """Return the codes right above each part and term of the hierarchy by component and system."""
    above: dict[str, list[str]] = defaultdict(list)
    for name in release.matching(r"(?:ComponentHierarchyBySystem|MultiAxialHierarchy)\.csv"):
        for row in release.records(name, "IMMEDIATE_PARENT", "CODE"):
            if row["IMMEDIATE_PARENT"]:
                above[row["CODE"]].append(row["IMMEDIATE_PARENT"])
    return above


def _answer_lists(release: Release) -> dict[str, list[dict[str, str]]]:
    lists: dict[str, list[dict[str, str]]] = defaultdict(list)
    for name in release.matching(r"AnswerList\.csv"):
        for row in release.records(name, "AnswerListId", "AnswerListName"):
            lists[row["AnswerListId"]].append(row)
    return lists


def _links(release: Release) -> dict[str, list[str]]:
    links: dict[str, list[str]] = defaultdict(list)
    for name in release.matching(r"LoincAnswerListLink\.csv"):
        for row in release.records(name, "LoincNumber", "AnswerListId"):
            links[row["LoincNumber"]].append(row["AnswerListId"])
    return links


def _translations(release: Release) -> dict[str, list[Text]]:
    texts: dict[str, list[Text]] = defaultdict(list)
    for name in release.matching(r"[a-z]{2}[A-Z]{2}\d+LinguisticVariant\.csv"):
        file = name.rpartition("/")[2]
        language = f"{file[:2]}-{file[2:4]}"
        for row in release.records(name, "LOINC_NUM"):
            value = row.get("LinguisticVariantDisplayName") or row.get("LONG_COMMON_NAME") or row.get("SHORTNAME")
            if value:
                texts[row["LOINC_NUM"]].append(Text(value, language))
    return texts


def _terms(
    release: Release,
    name: str,
    parts: dict[str, dict[str, str]],
    above: dict[str, list[str]],
    lists: dict[str, list[dict[str, str]]],
) -> Iterator[ConceptRecord]:
    links, translations = _links(release), _translations(release)
    for row in release.records(name, "LOINC_NUM", "COMPONENT", "STATUS", "LONG_COMMON_NAME"):
        code, own = row["LOINC_NUM"], parts.get(row["LOINC_NUM"], {})
        facts = [Fact(axis, own[axis]) for axis in _AXES if axis in own]
        facts += [Fact(axis, row[axis], "string") for axis in _AXES if row.get(axis)]
        facts += [Fact(each, row[each], "string") for each in _TEXTS if row.get(each)]
        facts += [Fact("answer-list", each) for each in links.get(code, ())]
        names = dict.fromkeys(row[each] for each in _OTHER_NAMES if row.get(each))
        yield ConceptRecord(
            code=code,
            display=row["LONG_COMMON_NAME"] or None,
            definition=row.get("DefinitionDescription") or None,
            texts=[*(Text(each, "en") for each in names), *translations.get(code, ())],
            facts=[*facts, *_ancestors(code, above)],
            parents=above.get(code, ()),
            inactive=row["STATUS"] in _INACTIVE,
            status=row["STATUS"].lower() or None,
        )


def _ancestors(code: str, above: dict[str, list[str]]) -> Iterator[Fact]:
    seen: set[str] = set()
    waiting = list(above.get(code, ()))
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            yield Fact("ancestor", each)
            waiting += above.get(each, ())


def _part_concepts(release: Release, above: dict[str, list[str]]) -> Iterator[ConceptRecord]:
    for name in release.matching(r"Part\.csv"):
        for row in release.records(name, "PartNumber", "PartTypeName", "PartName", "Status"):
            code = row["PartNumber"]
            display = row.get("PartDisplayName") or row["PartName"]
            yield ConceptRecord(
                code=code,
                display=display,
                texts=[Text(row["PartName"], "en")] if row["PartName"] != display else (),
                facts=[Fact("STATUS", row["Status"], "string"), *_ancestors(code, above)],
                parents=above.get(code, ()),
                inactive=row["Status"] in _INACTIVE,
            )


def _answers(release: Release, lists: dict[str, list[dict[str, str]]]) -> Iterator[ConceptRecord]:
    within: dict[str, list[str]] = defaultdict(list)
    texts: dict[str, str] = {}
    for code, rows in lists.items():
        for row in rows:
            answer = row.get("AnswerStringId")
            if answer:
                within[answer].append(code)
                texts.setdefault(answer, row.get("DisplayText", ""))
    for answer, codes in within.items():
        yield ConceptRecord(answer, texts[answer] or None, facts=[Fact("LIST", each) for each in codes])


def _list_concepts(lists: dict[str, list[dict[str, str]]]) -> Iterator[ConceptRecord]:
    for code, rows in lists.items():
        yield ConceptRecord(code, rows[0]["AnswerListName"] or None)
