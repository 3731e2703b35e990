"""`fhir-server reindex` makes the index of everything anew, and goes on where it was killed."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pymongo
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fhir_server.cli.main import app
from fhir_server.cli.reindex import complete, run
from fhir_server.jobs import reindex as job
from fhir_server.search.lifecycle import Pass
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import CURRENT_INDEXES
from fhir_server.store.resources import reindexing


@pytest.fixture
def settings(mongod_url: str, database_name: str) -> Any:
    """Settings of a database with ten Patients, two Basics and a deleted one, all without an index."""
    made = Settings(database_url=mongod_url, database_name=database_name)
    with pymongo.MongoClient[dict[str, Any]](mongod_url) as client:
        database = client[made.database_name]
        for name, count in (("Patient", 10), ("Basic", 2)):
            # The next test may be given this database: it finds collections as the server makes them.
            database.command({"createIndexes": name, "indexes": CURRENT_INDEXES})
            database[name].insert_many([document(name, f"{number:02}") for number in range(count)])
        database["Basic"].insert_one({"_id": "gone", "version": 2, "method": "DELETE"})
    return made


def document(resource_type: str, resource_id: str) -> dict[str, Any]:
    json = f'{{"resourceType":"{resource_type}","id":"{resource_id}","language":"de"}}'.encode()
    return {"_id": resource_id, "version": 1, "method": "PUT", "updated": None, "json": json, "keys": ["stale"]}


def indexed(settings: Settings) -> dict[str, list[str]]:
    """Return the ids of the resources that have an index, by type."""
    with pymongo.MongoClient[dict[str, Any]](settings.database_url) as client:
        database = client[settings.database_name]
        names = {name: database[name].find({"keys": "*"}).sort("_id") for name in ("Patient", "Basic")}
        return {name: [result["_id"] for result in cursor] for name, cursor in names.items()}


def quietly(settings: Settings, *types: str, restart: bool = False) -> Pass:
    return run(settings, types, restart=restart, console=Console(file=StringIO()))


def test_everything_is_indexed(settings: Settings) -> None:
    """All live resources of all types get a new index; deleted ones do not count."""
    result = quietly(settings)
    assert (result.done, result.total, result.failed, complete(result)) == (12, 12, 0, True)
    assert {name: len(ids) for name, ids in indexed(settings).items()} == {"Patient": 10, "Basic": 2}


def test_only_the_types_asked_for_are(settings: Settings) -> None:
    """Other types stay as they are; a name that is no type is refused."""
    quietly(settings, "Basic")
    assert indexed(settings) == {"Patient": [], "Basic": ["00", "01"]}
    with pytest.raises(StartupError, match="Colour"):
        quietly(settings, "Colour")


def test_it_goes_on_where_it_was_killed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash the next run begins behind the last batch; `restart` begins from the front."""
    monkeypatch.setattr(
        reindexing.reindex_batch, "__kwdefaults__", {"after": "", "limit": 3, "retry": False, "among": None}
    )
    whole, batches = job.reindex_batch, []

    async def crashing(*arguments: Any, after: str = "", **named: Any) -> Any:
        batches.append((arguments[1], after))
        if len(batches) == 4:
            raise KeyboardInterrupt
        return await whole(*arguments, after=after, **named)

    monkeypatch.setattr(job, "reindex_batch", crashing)
    with pytest.raises(KeyboardInterrupt):
        quietly(settings, "Patient")
    batches.append(("killed", ""))
    result = quietly(settings, "Patient")
    assert batches[batches.index(("killed", "")) + 1] == ("Patient", "08")
    assert (result.done, result.total) == (10, 10)
    assert len(indexed(settings)["Patient"]) == 10
    batches.append(("again", ""))
    assert quietly(settings, "Patient", restart=True).done == 10
    assert batches[batches.index(("again", "")) + 1] == ("Patient", "")


def test_nothing_of_something_is_a_failure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command exits with 1 when it indexed 0 of N, or any resource could not be; 0 of 0 is well."""

    def failing(*_: Any, **__: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setenv("FHIR_SERVER_DATABASE_NAME", settings.database_name)
    monkeypatch.setattr(job, "index", failing)
    command = ["reindex", "--database-url", str(settings.database_url)]
    failed = CliRunner().invoke(app, [*command, "Basic"])
    assert (failed.exit_code, "0 of 2 resources indexed, 2 could not be." in failed.output) == (1, True)
    assert CliRunner().invoke(app, [*command, "Observation"]).exit_code == 0
    monkeypatch.undo()
    assert not complete(Pass(0, (), total=5, done=0))


def test_status_shows_jobs_and_parameters(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` names each job that has run."""
    quietly(settings, "Basic")
    monkeypatch.setenv("FHIR_SERVER_DATABASE_NAME", settings.database_name)
    shown = CliRunner().invoke(app, ["status", "--database-url", str(settings.database_url)])
    assert (shown.exit_code, "reindex" in shown.output) == (0, True)
    assert "No row holds" in shown.output
