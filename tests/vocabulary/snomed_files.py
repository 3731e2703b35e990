"""Small SNOMED CT releases in the true format (RF2), with concepts that are made up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FSN, SYNONYM = "900000000000003001", "900000000000013009"
IS_A, CORE = "116680003", "900000000000207008"
US, PREFERRED, ACCEPTABLE = "900000000000509007", "900000000000548007", "900000000000549004"
INFERRED, SOME = "900000000000011006", "900000000000451002"
PRIMITIVE, DEFINED = "900000000000074008", "900000000000073002"

_CONCEPT = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId"
_DESCRIPTION = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId"
_RELATION = (
    "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t"
    "characteristicTypeId\tmodifierId"
)
_LANGUAGE = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tacceptabilityId"
_SIMPLE = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId"


@dataclass(slots=True)
class Made:
    """A concept of a release; `relations` are attribute, value and group."""

    id: str
    term: str
    parents: Sequence[str] = ()
    synonyms: Sequence[str] = ()
    relations: Sequence[tuple[str, str, int]] = ()
    active: bool = True
    defined: bool = False
    refsets: Sequence[str] = field(default_factory=tuple)


def write(folder: Path, concepts: Iterable[Made], *, time: str = "20240101", kind: str = "Snapshot") -> Path:
    """Write a release below a folder, which is returned."""
    rows: dict[str, list[str]] = {name: [] for name in ("concept", "text", "relation", "language", "member")}
    for each in concepts:
        _rows_of(each, rows, time)
    terms, maps = folder / "Terminology", folder / "Refset"
    for directory in (terms, maps / "Language", maps / "Content"):
        directory.mkdir(parents=True, exist_ok=True)
    _write(terms / f"sct2_Concept_{kind}_INT_{time}.txt", _CONCEPT, rows["concept"])
    _write(terms / f"sct2_Description_{kind}-en_INT_{time}.txt", _DESCRIPTION, rows["text"])
    _write(terms / f"sct2_Relationship_{kind}_INT_{time}.txt", _RELATION, rows["relation"])
    _write(maps / "Language" / f"der2_cRefset_Language{kind}-en_INT_{time}.txt", _LANGUAGE, rows["language"])
    _write(maps / "Content" / f"der2_Refset_Simple{kind}_INT_{time}.txt", _SIMPLE, rows["member"])
    return folder


def _rows_of(made: Made, rows: dict[str, list[str]], time: str) -> None:
    head = f"{time}\t{int(made.active)}\t{CORE}"
    rows["concept"].append(f"{made.id}\t{head}\t{DEFINED if made.defined else PRIMITIVE}")
    named = [(FSN, f"{made.term} (made)"), (SYNONYM, made.term), *((SYNONYM, each) for each in made.synonyms)]
    for number, (kind, term) in enumerate(named):
        text = f"{made.id}{number}"
        rows["text"].append(f"{text}\t{time}\t1\t{CORE}\t{made.id}\ten\t{kind}\t{term}\t900000000000448009")
        accepted = PREFERRED if number < 2 else ACCEPTABLE
        rows["language"].append(f"l{text}\t{time}\t1\t{CORE}\t{US}\t{text}\t{accepted}")
    relations = [(IS_A, parent, 0) for parent in made.parents] + list(made.relations)
    for number, (kind, target, group) in enumerate(relations):
        rows["relation"].append(
            f"{made.id}9{number}\t{time}\t1\t{CORE}\t{made.id}\t{target}\t{group}\t{kind}\t{INFERRED}\t{SOME}"
        )
    for refset in made.refsets:
        rows["member"].append(f"m{refset}{made.id}\t{time}\t1\t{CORE}\t{refset}\t{made.id}")


def _write(path: Path, head: str, rows: Iterable[str]) -> None:
    path.write_text("".join(f"{row}\r\n" for row in (head, *rows)), encoding="utf-8")


ROOT, FINDING, BODY, SITE, MORPHOLOGY = "138875005", "404684003", "123037004", "363698007", "116676008"
HEART, LUNG, INFLAMED, SCAR, CARDITIS, PNEUMONIA = (
    "80891009",
    "39607008",
    "23583003",
    "12402003",
    "56819008",
    "233604007",
)
SCARRED, MIXED, GONE, REFSET = "70000001", "70000002", "70000003", "700000123"

RELEASE = (
    Made(ROOT, "SNOMED CT Concept"),
    Made(FINDING, "Clinical finding", [ROOT]),
    Made(BODY, "Body structure", [ROOT]),
    Made(SITE, "Finding site", [ROOT]),
    Made(MORPHOLOGY, "Associated morphology", [ROOT]),
    Made(HEART, "Heart structure", [BODY], ["Cardiac structure"]),
    Made(LUNG, "Lung structure", [BODY]),
    Made(INFLAMED, "Inflammation", [BODY]),
    Made(SCAR, "Scar", [BODY]),
    Made(CARDITIS, "Carditis", [FINDING], ["Inflamed heart"], [(SITE, HEART, 1), (MORPHOLOGY, INFLAMED, 1)]),
    Made(PNEUMONIA, "Pneumonia", [FINDING], relations=[(SITE, LUNG, 1), (MORPHOLOGY, INFLAMED, 1)], refsets=[REFSET]),
    Made(SCARRED, "Scarred heart", [FINDING], relations=[(SITE, HEART, 1), (MORPHOLOGY, SCAR, 1)]),
    Made(
        MIXED,
        "Scarred lung with carditis",
        [CARDITIS, FINDING],
        relations=[(SITE, HEART, 1), (MORPHOLOGY, INFLAMED, 1), (SITE, LUNG, 2), (MORPHOLOGY, SCAR, 2)],
        refsets=[REFSET],
    ),
    Made(GONE, "Grippe", active=False),
)  # fmt: skip
