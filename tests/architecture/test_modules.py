"""The rules of the house that can be counted: what a module may be called, how long it may be, what it may import."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("fhir_server", "mappings", "terminology", "translations")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = [str(path.relative_to(ROOT)) for path in SOURCES]

LONGEST_MODULE = 400
LONGEST_FUNCTION = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
EMPTY_NAMES = {"found", "known", "given", "settle", "settled", "told", "said", "asked", "wanted", "standing"}
"""Names that say nothing of what they stand for; CONTRIBUTING.md has the words to use."""
FILTERING = ("fhir_server/store/", "fhir_server/search/planner/")
"""Where the database's query language may be written."""
DATABASE_DRIVERS = {"pymongo", "bson", "gridfs", "motor"}


@cache
def text(module: str) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(text(module))


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


def keys(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Dict):
            constants = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            yield from (key for key in constants if isinstance(key, str))


def test_there_are_modules() -> None:
    """The rules below look at the whole of the server."""
    assert {"fhir_server/errors.py", "fhir_server/engine/engine.py", "fhir_server/store/database/mongo.py"} <= set(
        MODULES
    )


def test_a_module_says_what_it_owns() -> None:
    """Every module has a docstring."""
    assert not [module for module in MODULES if not ast.get_docstring(tree(module))]


def test_a_module_can_be_read_in_one_go() -> None:
    """No module has more than 400 lines."""
    lengths = [(module, len(text(module).splitlines())) for module in MODULES]
    assert not [(module, lines) for module, lines in lengths if lines > LONGEST_MODULE]


def test_a_module_is_named_after_what_it_does() -> None:
    """No module or package is a drawer for what fits nowhere."""
    for module in MODULES:
        assert not {part.removesuffix(".py").strip("_") for part in Path(module).parts} & FORBIDDEN_NAMES, module


def test_a_function_fits_on_a_screen() -> None:
    """No function has more than 50 lines."""
    lengths = [(module, *function) for module in MODULES for function in functions(module)]
    assert not [(module, name, lines) for module, name, lines in lengths if lines > LONGEST_FUNCTION]


def test_only_the_store_knows_the_database() -> None:
    """No module outside of the store imports the database driver."""
    above = [module for module in MODULES if not module.startswith("fhir_server/store/")]
    imported = [(module, name) for module in above for name in imports(module)]
    assert not [(module, name) for module, name in imported if name.partition(".")[0] in DATABASE_DRIVERS]


def test_only_the_store_and_the_planner_write_filters() -> None:
    """No other module writes an operator of the database's query language, or turns a condition into a filter."""
    for module in MODULES:
        if not module.startswith(FILTERING):
            assert not {key for key in keys(module) if key.startswith("$")} - {"$ref"}, module
            assert "fhir_server.search.planner.filters" not in imports(module), module


def test_what_an_id_is_stands_in_one_place() -> None:
    """No module but `r4.ids` writes the grammar of logical ids."""
    assert [module for module in MODULES if r"\-.]{1,64}" in text(module)] == ["fhir_server/r4/ids.py"]


def test_stores_are_made_in_one_place() -> None:
    """No module above the stores makes one: the services have one of each."""
    stores = set(re.findall(r"-> (\w+):", text("fhir_server/store/stores.py")))
    stores |= {"ResourceStore", "HistoryStore", "SearchStore", "CanonicalStore", "SearchParameterStore"}
    # Encryption is switched on and off on a database that nobody serves, so without services.
    makers = ("fhir_server/store/", "fhir_server/services.py", "fhir_server/cli/encryption.py")
    above = [module for module in MODULES if not module.startswith(makers)]
    calls = [(module, node) for module in above for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    assert not [
        (module, ast.unparse(node))
        for module, node in calls
        if isinstance(node.func, ast.Name) and node.func.id in stores
    ]


def test_endpoints_share_nothing() -> None:
    """The endpoints of a subject are imported by the application alone; what others need has a module of its own."""
    named = [
        (module, f"{node.module}.{name.name}")
        for module in MODULES
        if module != "fhir_server/hospital/app.py"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    ]
    assert not [pair for pair in named if re.search(r"^fhir_server\.hospital\.\w+\.endpoints\b", pair[1])]


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    """No folder has more than 20 modules, of the sources as of the tests, beside what it says of itself."""
    paths = [*SOURCES, *(ROOT / "tests").rglob("*.py")]
    modules = Counter(path.parent for path in paths if path.name != "__init__.py")
    assert not {folder: count for folder, count in modules.items() if count > 20}


def test_functions_are_short() -> None:
    """Half of all functions have at most 10 lines, nine in ten at most 35."""
    lengths = sorted(lines for module in MODULES for _, lines in functions(module))
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 35


def test_no_path_of_a_machine_is_committed() -> None:
    """Nothing in the sources names a directory of the machine it was written on."""
    forbidden = ("/home/", "/Users/", "/tmp/lab", "/" + "work/")
    assert not [module for module in MODULES if any(path in text(module) for path in forbidden)]


def names_given(module: str) -> Iterator[str]:
    """Yield the names that a module gives to what it defines, takes or keeps."""
    for node in ast.walk(tree(module)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name


def test_names_say_what_things_are() -> None:
    """No name says only that something happened: not that it was found, but whether it is a patient or a page."""
    names = [(module, name) for module in MODULES for name in names_given(module)]
    assert not sorted({(module, name) for module, name in names if name.strip("_").lower() in EMPTY_NAMES})
