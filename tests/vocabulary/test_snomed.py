"""SNOMED CT in its own format: what a release says, its hierarchy, its expressions, and deltas over it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pytest

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.mapped import MappedCodeSystem
from fhir_server.vocabulary.readers import snomed
from fhir_server.vocabulary.readers.files import Release, SourceError
from terminology import Filter, Selection, TerminologyError
from tests.vocabulary import snomed_files
from tests.vocabulary.snomed_files import (
    BODY,
    CARDITIS,
    FINDING,
    GONE,
    HEART,
    INFLAMED,
    LUNG,
    MIXED,
    MORPHOLOGY,
    PNEUMONIA,
    RELEASE,
    ROOT,
    SCAR,
    SCARRED,
    SITE,
    Made,
    write,
)

NAMES = {value: name for name, value in vars(snomed_files).items() if isinstance(value, str) and value.isdigit()}
EVERY = [each.id for each in RELEASE]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> MappedCodeSystem:
    """The release that the other tests ask."""
    folder = tmp_path_factory.mktemp("snomed")
    return built(folder, [write(folder / "release", RELEASE)])


def built(folder: Path, releases: Sequence[Path]) -> MappedCodeSystem:
    """Return the code system that releases make."""
    builder = Builder(folder / "made")
    description = snomed.read([Release(each) for each in releases], builder)
    builder.finish(description)
    return MappedCodeSystem(folder / "made")


def selected(system: MappedCodeSystem, *filters: Filter, text: str | None = None, active: bool = False) -> set[str]:
    """Return the codes selected, having seen that membership, number and pages agree on them."""
    concepts = system.select(Selection(filters, text, active))
    codes = [each.code for each in concepts.page()]
    assert len(set(codes)) == len(codes) == concepts.count()
    assert {code for code in EVERY if code in concepts} == set(codes)
    assert [each.code for place in range(len(codes)) for each in concepts.page(place, 1)] == codes
    return set(codes)


def below(code: str) -> set[str]:
    """Return what is below a concept by the release, found by walking."""
    collected: set[str] = set()
    waiting = [code]
    while waiting:
        here = waiting.pop()
        fresh = [each.id for each in RELEASE if here in each.parents and each.id not in collected]
        collected.update(fresh)
        waiting += fresh
    return collected


def test_a_concept_has_its_texts_and_attributes(system: MappedCodeSystem) -> None:
    """The preferred synonym is its display; the others and the full name are designations."""
    concept = system.concept(CARDITIS)
    assert concept is not None
    assert concept.display == "Carditis"
    assert {each.value for each in concept.designations} == {"Carditis", "Carditis (made)", "Inflamed heart"}
    full = next(each for each in concept.designations if each.value.endswith("(made)"))
    assert full.use is not None
    assert full.use["display"] == "Fully specified name"
    values = {(each.code, each.value) for each in concept.properties}
    assert {(SITE, HEART), (MORPHOLOGY, INFLAMED), ("sufficientlyDefined", False)} <= values
    assert system.info.version == "http://snomed.info/sct/900000000000207008/version/20240101"
    gone = system.concept(GONE)
    assert gone is not None
    assert gone.inactive
    assert system.concept("1") is None


def test_the_hierarchy_is_that_of_the_release(system: MappedCodeSystem) -> None:
    """Subsumption, and each filter on it, agree with a walk over all pairs."""
    for ancestor, code in product(EVERY, EVERY):
        assert system.subsumes(ancestor, code) == (code == ancestor or code in below(ancestor)), (ancestor, code)
    for code in EVERY:
        under = below(code)
        assert selected(system, Filter("concept", "is-a", code)) == under | {code}
        assert selected(system, Filter("concept", "descendent-of", code)) == under
        assert selected(system, Filter("concept", "is-not-a", code)) == set(EVERY) - under - {code}
        above = {each for each in EVERY if code in below(each)}
        assert selected(system, Filter("concept", "generalizes", code)) == above | {code}
        assert set(system.parents(code)) == {parent for each in RELEASE if each.id == code for parent in each.parents}


def test_texts_are_found_by_the_beginnings_of_their_words(system: MappedCodeSystem) -> None:
    """All words in one text, whatever their order and case; with other filters, and only of what is active."""
    assert selected(system, text="HEART scar") == {SCARRED}
    assert selected(system, text="card") == {CARDITIS, HEART, MIXED}
    assert selected(system, text=CARDITIS[:5]) == {CARDITIS}
    assert selected(system, Filter("concept", "is-a", BODY), text="scar") == {SCAR}
    assert selected(system, text="gripp") == {GONE}
    assert selected(system, text="gripp", active=True) == set()
    assert selected(system, text='"quoted" * AND') == set()
    assert GONE not in selected(system, active=True)


_EXPRESSIONS = [
    ("<< FINDING", {FINDING, CARDITIS, PNEUMONIA, SCARRED, MIXED}),
    ("< CARDITIS |with a term|", {MIXED}),
    ("<! FINDING", {CARDITIS, PNEUMONIA, SCARRED, MIXED}),
    ("<<! CARDITIS", {CARDITIS, MIXED}),
    (">> MIXED", {MIXED, CARDITIS, FINDING, ROOT}),
    ("> MIXED", {CARDITIS, FINDING, ROOT}),
    (">! MIXED", {CARDITIS, FINDING}),
    (">>! CARDITIS", {CARDITIS, FINDING}),
    ("^ REFSET", {PNEUMONIA, MIXED}),
    ("^ *", {PNEUMONIA, MIXED}),
    ("*", set(EVERY)),
    ("CARDITIS OR SCARRED", {CARDITIS, SCARRED}),
    ("< FINDING AND ^ REFSET", {PNEUMONIA, MIXED}),
    ("< FINDING, ^ REFSET", {PNEUMONIA, MIXED}),
    ("< FINDING MINUS << CARDITIS", {PNEUMONIA, SCARRED}),
    ("(< BODY MINUS HEART) OR (< FINDING AND ^ REFSET)", {LUNG, INFLAMED, SCAR, PNEUMONIA, MIXED}),
    ("< (CARDITIS OR BODY)", {MIXED, HEART, LUNG, INFLAMED, SCAR}),
    ("<< (CARDITIS OR SCAR)", {CARDITIS, MIXED, SCAR}),
    ("> (CARDITIS OR SCAR)", {FINDING, ROOT, BODY}),
    ("< FINDING : SITE = HEART", {CARDITIS, SCARRED, MIXED}),
    ("< FINDING : SITE = HEART, MORPHOLOGY = SCAR", {SCARRED, MIXED}),
    ("< FINDING : { SITE = HEART, MORPHOLOGY = SCAR }", {SCARRED}),
    ("< FINDING : { SITE = HEART }, { SITE = LUNG }", {MIXED}),
    ("< FINDING : [2..*] SITE = *", {MIXED}),
    ("< FINDING : [0..0] SITE = HEART", {PNEUMONIA}),
    ("< FINDING : [1..1] { SITE = << BODY }", {CARDITIS, PNEUMONIA, SCARRED}),
    ("< FINDING : SITE != HEART", {PNEUMONIA, MIXED}),
    ("< FINDING : << SITE = << BODY", {CARDITIS, PNEUMONIA, SCARRED, MIXED}),
    ("< FINDING : * = SCAR", {SCARRED, MIXED}),
    ("< FINDING : SITE = LUNG OR MORPHOLOGY = SCAR", {PNEUMONIA, SCARRED, MIXED}),
    ("< FINDING : (SITE = LUNG OR MORPHOLOGY = SCAR), SITE = HEART", {SCARRED, MIXED}),
    ("* : R SITE = < FINDING", {HEART, LUNG}),
    ("< FINDING . SITE", {HEART, LUNG}),
    ("<< FINDING : SITE = (HEART OR LUNG)", {CARDITIS, PNEUMONIA, SCARRED, MIXED}),
    ("<< 123456789", set()),
]


@pytest.mark.parametrize(("expression", "codes"), _EXPRESSIONS)
def test_an_expression_constraint_means_what_its_language_says(
    system: MappedCodeSystem, expression: str, codes: set[str]
) -> None:
    """Each operator, and several together."""
    assert selected(system, Filter("constraint", "=", _with_ids(expression))) == codes


def _with_ids(expression: str) -> str:
    ids = {name: value for value, name in NAMES.items()}
    return re.sub(r"[A-Z]{2,}", lambda match: ids.get(match[0], match[0]), expression)


@pytest.mark.parametrize(
    "expression",
    [
        "", "<", "heart", "1 2", "(1", "1)", "1:", "1:2", "1:2=", "1:2=3,", "1:[2..1", "1:[*..1] 2=3", "1:{2=3",
        "1 AND 2 OR 3", "1 MINUS 2 MINUS 3", '<< 1 {{ term = "x" }}', "1 + HISTORY", "(" * 500, "<" * 500, "1" * 30_000,
        "1:" + "{" * 500, "1 |open", "\0", "1:2=#x", "1:2<3",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_its_place(system: MappedCodeSystem, expression: str) -> None:
    """It is an invalid value set, not an empty one."""
    with pytest.raises(TerminologyError) as refusal:
        system.select(Selection((Filter("constraint", "=", expression),)))
    assert refusal.value.issues[0].code in ("invalid", "not-supported")


def test_a_delta_takes_the_place_of_what_it_states_anew(tmp_path: Path) -> None:
    """A later state of a component counts, whichever release is named first in time; others stay."""
    base = write(tmp_path / "base", RELEASE)
    changed = [
        Made(SCARRED, "Scarred heart", [FINDING], active=False),
        Made("70000009", "New finding", [FINDING]),
    ]
    delta = write(tmp_path / "delta", changed, time="20240701", kind="Delta")
    system = built(tmp_path, [base, delta])
    assert system.size == len(RELEASE) + 1
    assert system.info.version == "http://snomed.info/sct/900000000000207008/version/20240701"
    scarred = system.concept(SCARRED)
    assert scarred is not None
    assert scarred.inactive
    assert system.subsumes(FINDING, "70000009")


def test_a_release_is_read_out_of_its_zip(tmp_path: Path) -> None:
    """As it is downloaded; nothing is unpacked."""
    folder = write(tmp_path / "release", RELEASE)
    with zipfile.ZipFile(tmp_path / "release.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*.txt"):
            archive.write(path, path.relative_to(tmp_path))
    assert built(tmp_path, [tmp_path / "release.zip"]).size == len(RELEASE)


def test_rings_in_the_hierarchy_end(tmp_path: Path) -> None:
    """A release should have none; one that has is loaded, and asked, nevertheless."""
    ring = [
        Made("11", "One", ["13"]),
        Made("12", "Two", ["11"]),
        Made("13", "Three", ["12"]),
        Made("14", "Own", ["14"]),
    ]
    system = built(tmp_path, [write(tmp_path / "release", ring)])
    assert system.subsumes("12", "13") or system.subsumes("13", "12")
    assert not system.subsumes("14", "11")


@pytest.mark.parametrize("fault", ["nothing", "short row", "no text", "empty"])
def test_what_is_no_release_is_refused(tmp_path: Path, fault: str) -> None:
    """With the file, and the line."""
    folder = write(tmp_path / "release", RELEASE)
    concepts = next(folder.rglob("sct2_Concept_*"))
    damage: dict[str, Callable[[], object]] = {
        "nothing": concepts.unlink,
        "short row": lambda: concepts.write_text("id\n1\t2\n"),
        "no text": lambda: concepts.write_bytes(b"id\n\xff\xfe\xff"),
        "empty": lambda: concepts.write_text(""),
    }
    damage[fault]()
    with pytest.raises(SourceError):
        built(tmp_path, [folder])
