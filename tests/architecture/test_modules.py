"""The rules of the house that can be counted: what a module may be called, how long it may be, what it may import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("fhir_server", "mappings", "terminology", "translations")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = [str(path.relative_to(ROOT)) for path in SOURCES]

LONGEST_MODULE = 400
LONGEST_FUNCTION = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
FILTERING = (
    "fhir_server/store/",
    "fhir_server/search/planner/",
    # Still above the store: a caller's access keeps its filters, and three modules of the engine theirs. No more.
    "fhir_server/auth/permission/access.py",
    "fhir_server/engine/bulk/members.py",
    "fhir_server/engine/bulk/selections.py",
    "fhir_server/engine/link_targets.py",
)
"""Where the database's query language may be written."""
DATABASE_DRIVERS = {"pymongo", "bson", "gridfs", "motor"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def functions(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def imports(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_there_are_modules() -> None:
    """The rules below look at the whole of the server."""
    assert {"fhir_server/errors.py", "fhir_server/engine/engine.py", "fhir_server/store/database/mongo.py"} <= set(
        MODULES
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_owns(module: str) -> None:
    """Every module has a docstring."""
    assert ast.get_docstring(tree(module))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_read_in_one_go(module: str) -> None:
    """No module has more than 400 lines."""
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_named_after_what_it_does(module: str) -> None:
    """No module or package is a drawer for what fits nowhere."""
    parts = {part.removesuffix(".py").strip("_") for part in Path(module).parts}
    assert not parts & FORBIDDEN_NAMES


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen(module: str) -> None:
    """No function has more than 50 lines."""
    assert not [(name, lines) for name, lines in functions(module) if lines > LONGEST_FUNCTION]


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("fhir_server/store/")])
def test_only_the_store_knows_the_database(module: str) -> None:
    """No module outside of the store imports the database driver."""
    assert not {name for name in imports(module) if name.partition(".")[0] in DATABASE_DRIVERS}


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(FILTERING)])
def test_only_the_store_and_the_planner_write_filters(module: str) -> None:
    """No other module writes an operator of the database's query language, or turns a condition into a filter."""
    keys = {
        key.value
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    assert not {key for key in keys if key.startswith("$")} - {"$ref"}
    assert "fhir_server.search.planner.filters" not in imports(module)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "fhir_server/hospital/app.py"])
def test_endpoints_share_nothing(module: str) -> None:
    """The endpoints of a subject are imported by the application alone; what others need has a module of its own."""
    named = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    assert not [name for name in named if re.search(r"^fhir_server\.hospital\.\w+\.endpoints\b", name)]


@pytest.mark.parametrize("folder", sorted({str(Path(module).parent) for module in MODULES}))
def test_a_folder_can_be_taken_in_at_a_glance(folder: str) -> None:
    """No folder has more than 20 modules, beside what it says of itself."""
    modules = [path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 20


@pytest.mark.parametrize("folder", sorted({path.parent for path in (ROOT / "tests").rglob("*.py")}), ids=str)
def test_a_folder_of_tests_can_be_taken_in_at_a_glance(folder: Path) -> None:
    """No folder of tests has more than 20 modules."""
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 20


def test_functions_are_short() -> None:
    """Half of all functions have at most 10 lines, nine in ten at most 35."""
    lengths = sorted(lines for module in MODULES for _, lines in functions(module))
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 35


def test_no_path_of_a_machine_is_committed() -> None:
    """Nothing in the sources names a directory of the machine it was written on."""
    forbidden = ("/home/", "/Users/", "/tmp/lab", "/" + "work/")
    assert not [
        module for module in MODULES if any(text in (ROOT / module).read_text(encoding="utf-8") for text in forbidden)
    ]
