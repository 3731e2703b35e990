"""The documents follow the code: the layers they draw and the paths they name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.name != "CHANGELOG.md" and "reference" not in path.parts
)
"""All but the changelog, which tells of the past, and the contracts under docs/reference, which name no code."""

CODE_PATH = re.compile(r"`([a-z_]\w*(?:/[\w.]+)+/?|[a-z_]\w*/)`")
SCOPE = re.compile(r"(?:patient|user|system)/(?:[A-Z*]\w*\.[cruds]+)?|launch/\w+")
PLACES = (ROOT, ROOT / "fhir_server")


def exists(named: str) -> bool:
    """Whether `named` is a file, a folder, a module, or a name in a module, from the root or within `fhir_server`."""
    if any((place / named).exists() or (place / f"{named}.py").is_file() for place in PLACES):
        return True
    module, _, name = named.rpartition(".")
    sources = [place / f"{module}.py" for place in PLACES if module and (place / f"{module}.py").is_file()]
    return any(re.search(rf"\b(?:def|class) {name}\b|^{name}\b", source.read_text(), re.M) for source in sources)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_code_path_that_a_document_names_exists(document: str) -> None:
    """A path in backquotes leads to a file, folder, module or function of this repository."""
    named = set(CODE_PATH.findall((ROOT / document).read_text(encoding="utf-8")))
    assert not sorted(path for path in named if not SCOPE.fullmatch(path) and not exists(path))


def test_the_rule_of_paths_can_fail() -> None:
    """A module that was moved, and a name that its module does not define, are told apart from those that exist."""
    assert exists("store/database/turns")
    assert exists("fhir_server/errors.py")
    assert exists("work/threads.breathe")
    assert not exists("store/turns")
    assert not exists("work/threads.no_such_name")


def test_the_layers_that_design_draws_are_those_of_the_contract() -> None:
    """DESIGN.md draws each contract of layers as pyproject.toml states it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    drawn = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    for contract in contracts:
        if contract["type"] == "layers":
            assert " > ".join(contract["layers"]) in drawn


def test_every_decision_stands_in_the_index() -> None:
    """Decisions are numbered without gaps, say their date, and are listed with their title and number."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    rows = []
    for number, page in enumerate(pages, 1):
        title, _, rest = page.read_text(encoding="utf-8").partition("\n")
        assert page.name.startswith(f"{number:04d}-")
        assert title.startswith(f"# {number}. ")
        dated = re.match(r"\n- Date: (\d{4}-\d\d-\d\d)", rest)
        assert dated, page.name
        rows.append(f"| {number} | [{title.partition('. ')[2]}]({page.name}) | {dated.group(1)} |")
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    assert [line for line in index.splitlines() if re.match(r"\| \d", line)] == rows


def test_each_change_stands_once_in_its_group() -> None:
    """The changelog has releases, in them the groups of Keep a Changelog, and in those each change once."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    heading, changes = "", []
    for line in lines:
        if line.startswith("#"):
            heading = line
        elif line.startswith("- "):
            assert heading.removeprefix("### ") in {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
            changes.append(line)
    assert len(changes) == len(set(changes))
