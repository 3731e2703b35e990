"""`fhir-server validate`: what is stored is held against R4 and its profiles, and a report says what is wrong."""

from __future__ import annotations

import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pymongo
import pytest
from rich.console import Console

from fhir_server.cli.validate import run
from fhir_server.jobs import validation as job
from fhir_server.jobs.validation import Progress
from fhir_server.r4 import values
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import CURRENT_INDEXES
from fhir_server.store.resources.passing import versions_after

Json = dict[str, Any]
WEIGHT = {"meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/bodyweight"]}, "status": "final", "code": {}}


@pytest.fixture
def settings(mongod_url: str, database_name: str) -> Settings:
    """Settings of a database with three sound patients, one with a colour, and a body weight that is none."""
    made = Settings(database_url=mongod_url, database_name=database_name)
    stored: list[Json] = [{"resourceType": "Patient", "id": f"p{number}", "active": True} for number in range(3)]
    stored.append({"resourceType": "Patient", "id": "p9", "colour": "red"})
    stored.append({"resourceType": "Observation", "id": "o1", **WEIGHT, "code": {"text": "weight"}})
    with pymongo.MongoClient[Json](mongod_url) as client:
        database = client[made.database_name]
        for name in ("Patient", "Observation"):
            database.command({"createIndexes": name, "indexes": CURRENT_INDEXES})
            documents = [document(each) for each in stored if each["resourceType"] == name]
            database[name].insert_many(documents)
        database["Patient"].insert_one({"_id": "gone", "version": 2, "method": "DELETE"})
    return made


def document(resource: Json) -> Json:
    json = values.encode(resource)
    return {"_id": resource["id"], "version": 1, "method": "PUT", "updated": None, "json": json, "keys": []}


def validated(settings: Settings, report: Path, *types: str, **options: bool) -> Progress:
    return run(settings, types, report, console=Console(file=StringIO()), **options)


def lines(report: Path) -> dict[str, list[str]]:
    """Return the places that the report names, by resource."""
    return {
        each["resource"]: [path for issue in each["outcome"]["issue"] for path in issue.get("expression", ())]
        for each in map(values.decode, report.read_bytes().splitlines())
    }


def test_what_is_wrong_is_reported(settings: Settings, tmp_path: Path) -> None:
    """By R4 itself and by a claimed profile, each place by name; the report is for the operator alone."""
    report = tmp_path / "report.jsonl"
    result = validated(settings, report)
    assert (result.done, result.total, result.faulty, result.types) == (5, 5, 2, ())
    reported = lines(report)
    assert reported.keys() == {"Patient/p9", "Observation/o1"}
    assert reported["Patient/p9"] == ["Patient.colour"]
    assert "Observation.category" in reported["Observation/o1"]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_warnings_are_told_where_they_are_wanted(settings: Settings, tmp_path: Path) -> None:
    """R4 recommends a narrative: a sound patient without one is told then, and is no fault."""
    report = tmp_path / "report.jsonl"
    result = validated(settings, report, "Patient", warnings=True)
    assert result.faulty == 1
    assert lines(report).keys() == {"Patient/p0", "Patient/p1", "Patient/p2", "Patient/p9"}


def test_a_name_that_is_no_type_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Before anything is looked at."""
    with pytest.raises(StartupError, match="Colour"):
        validated(settings, tmp_path / "report.jsonl", "Colour")


def test_it_goes_on_where_it_was_broken_off(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash the next run begins behind the last page."""
    report, pages = tmp_path / "report.jsonl", []

    async def crashing(resources: Any, name: str, after: str) -> Any:
        pages.append((name, after))
        if len(pages) == 3:
            raise KeyboardInterrupt
        return await versions_after(resources, name, after, 2)

    monkeypatch.setattr(job, "versions_after", crashing)
    with pytest.raises(KeyboardInterrupt):
        validated(settings, report, "Patient")
    result = validated(settings, report, "Patient")
    assert (result.done, result.faulty) == (4, 1)
    assert pages[3] == pages[2]
