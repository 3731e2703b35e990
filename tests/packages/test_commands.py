"""The commands `package` and `terminology`, on a database that exists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fhir_server.cli.main import app
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from tests.unit.packages.archives import archive, manifest, profile, search_parameter, value_set

Run = Callable[..., Result]


@pytest.fixture
def run(mongod_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command line; what it refuses is a StartupError."""
    monkeypatch.setenv("FHIR_SERVER_DATABASE_URL", mongod_url)
    monkeypatch.setenv("FHIR_SERVER_DATABASE_NAME", database.name)
    monkeypatch.setenv("FHIR_SERVER_DATA_DIR", str(tmp_path / "data"))

    def running(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments])
        if isinstance(result.exception, StartupError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return running


async def _told(database: Database) -> list[str]:
    """Return the names of the events of the audit trail."""
    documents = await database.current("AuditEvent").find({}, {"resource": 1}).to_list()
    return sorted(each["resource"]["subtype"][-1]["code"] for each in documents)


async def test_a_package_is_installed_shown_locked_and_removed(run: Run, database: Database, tmp_path: Path) -> None:
    """By commands alone, each of which leaves its event."""
    base, top = tmp_path / "base.tgz", tmp_path / "top.tgz"
    base.write_bytes(archive(manifest("test.base"), profile("base")))
    needs = manifest("test.top", dependencies={"test.base": "1.0.0", "test.gone": "2.x"})
    shade = search_parameter("shade", "Patient.extension('urn:shade').value.ofType(string)")
    on = "http://example.org/StructureDefinition/base"
    top.write_bytes(archive(needs, profile("top", on=on), value_set("a"), shade))

    def work() -> None:
        with pytest.raises(StartupError, match=r"test\.base#1\.0\.0, which is missing"):
            run("package", "install", str(top), "--offline")
        run("package", "install", str(base), "--offline")
        installed = run("package", "install", str(top), "--offline").output
        assert "test.top#1.0.0 installed" in installed
        assert "test.gone#2.x" in installed
        assert "search-parameters test.top#1.0.0 --on" in installed
        listed = run("package", "list").output
        assert "test.base#1.0.0" in listed
        assert "test.top#1.0.0" in listed
        shown = json.loads(run("package", "show", "test.top").output)
        assert shown["missing"] == ["test.gone#2.x"]
        assert "1 search parameters on" in run("package", "search-parameters", "test.top", "--on").output
        lock = tmp_path / "lock.json"
        run("package", "lock", "--output", str(lock))
        assert [each["name"] for each in json.loads(lock.read_text())["packages"]] == ["test.base", "test.top"]
        with pytest.raises(StartupError, match="needed by test"):
            run("package", "uninstall", "test.base")
        run("package", "uninstall", "test.top@1.0.0")
        run("package", "uninstall", "test.base#1.0.0")
        with pytest.raises(StartupError, match="not installed"):
            run("package", "show", "test.top")
        assert run("package", "list").output == ""

    await asyncio.to_thread(work)
    reported = await _told(database)
    assert reported.count("package-installed") == 3
    assert reported.count("package-uninstalled") == 3
    assert reported.count("package-search-parameters") == 1


async def test_a_code_system_is_loaded_listed_and_removed(run: Run, database: Database, tmp_path: Path) -> None:
    """Progress and what was done are said; what cannot be is refused in a sentence."""
    table = tmp_path / "animals.csv"
    table.write_text("code,display,parent\na,Animal,\nd,Dog,a\n")

    def work() -> None:
        named = ("--url", "urn:animals", "--system-version", "1")
        assert "urn:animals|1 loaded: 2 concepts" in run("terminology", "load", "csv", str(table), *named).output
        assert "urn:animals|1 replaced" in run("terminology", "load", "csv", str(table), *named).output
        assert run("terminology", "list").output == "urn:animals|1  2 concepts\n"
        with pytest.raises(StartupError, match="--url"):
            run("terminology", "load", "csv", str(table))
        with pytest.raises(StartupError, match="not a format"):
            run("terminology", "load", "excel", str(table))
        run("terminology", "remove", "urn:animals")
        with pytest.raises(StartupError, match="was not loaded"):
            run("terminology", "remove", "urn:animals")

    await asyncio.to_thread(work)
    reported = await _told(database)
    assert reported.count("terminology-loaded") == 3
    assert reported.count("terminology-removed") == 2
