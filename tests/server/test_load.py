"""`fhir-server load` into a database and over HTTP, by its own worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fhir_server.cli.main import app
from fhir_server.load.load import load
from fhir_server.load.report import Summary
from fhir_server.settings import Settings
from tests.samples import SYNTHEA
from tests.server.running import RunningServer

SYNTHEA_COUNTS = {
    "AllergyIntolerance": 12,
    "CarePlan": 14,
    "Claim": 110,
    "Condition": 31,
    "DiagnosticReport": 17,
    "Encounter": 86,
    "ExplanationOfBenefit": 86,
    "Goal": 10,
    "ImagingStudy": 2,
    "Immunization": 61,
    "MedicationRequest": 24,
    "Observation": 351,
    "Organization": 6,
    "Patient": 5,
    "Practitioner": 6,
    "Procedure": 37,
}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
OBSERVATION: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


@pytest.fixture
def settings(mongod_url: str, database_name: str) -> Settings:
    """Settings of a database of the test's own."""
    return Settings(database_url=mongod_url, database_name=database_name)


def run(settings: Settings, folder: Path, **options: Any) -> Summary:
    """Load a folder; the report and the state stay in it, where they are not taken for something to load."""
    console = Console(file=StringIO(), width=100)
    return load(
        [folder], settings, workers=2, refused=folder / "report", state=folder / "state", console=console, **options
    )


def write(path: Path, *resources: Any) -> None:
    path.write_text(
        "\n".join(resource if isinstance(resource, str) else json.dumps(resource) for resource in resources)
    )


def transaction(*resources: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {"resource": result, "request": {"method": "POST", "url": result["resourceType"]}} for result in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def stored(settings: Settings, resource_type: str) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](settings.database_url) as client:
        return [json.loads(result["json"]) for result in client[settings.database_name][resource_type].find()]


def test_what_is_good_is_stored_and_what_is_bad_is_reported(settings: Settings, tmp_path: Path) -> None:
    """Good resources are stored, bad ones reported with file, place and reason; a second load repeats only the bad."""
    write(tmp_path / "a.json", transaction(PATIENT, OBSERVATION))
    write(tmp_path / "b.json", transaction(PATIENT, OBSERVATION | {"status": "nonsense"}))
    bad, good = PATIENT | {"id": "bad", "birthDate": "1974-02-30"}, [PATIENT | {"id": f"p{at}"} for at in range(3)]
    write(tmp_path / "c.ndjson", *good[:2], bad, "not json", good[2])

    summary = run(settings, tmp_path)
    assert summary.counts == Counter({("Patient", "created"): 4, ("Observation", "created"): 1})
    refused = [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()]
    places = {(Path(result["file"]).name, result["place"]): result for result in refused}
    assert set(places) == {("b.json", ""), ("c.ndjson", "line 3"), ("c.ndjson", "line 4")}
    assert places["b.json", ""]["resources"] == ["Patient", "Observation"]
    assert places["b.json", ""]["issues"][0]["expression"] == ["Bundle.entry[1].resource.status"]
    assert places["c.ndjson", "line 3"]["status"] == 422
    assert len(stored(settings, "Patient")) == 4

    again = run(settings, tmp_path)
    assert (again.counts.total(), len(again.refusals), again.skipped_files) == (0, 3, 1)
    write(tmp_path / "b.json", transaction(OBSERVATION))
    mended = run(settings, tmp_path)
    assert mended.counts == Counter({("Observation", "created"): 1})
    assert len(stored(settings, "Patient")) == 4


def test_what_was_refused_for_want_of_another_is_tried_again(settings: Settings, tmp_path: Path) -> None:
    """A conditional reference to a resource in a later file holds in the end; one to nothing is refused."""
    reference = {"subject": {"reference": "Patient?identifier=urn:mrn|1"}}
    write(tmp_path / "a.json", transaction(OBSERVATION | reference))
    write(tmp_path / "b.json", transaction(OBSERVATION | {"subject": {"reference": "Patient?identifier=urn:mrn|none"}}))
    write(tmp_path / "z.json", transaction(PATIENT))
    summary = run(settings, tmp_path)
    assert [(Path(result.file).name, result.status) for result in summary.refusals] == [("b.json", 412)]
    (observation,), (patient,) = stored(settings, "Observation"), stored(settings, "Patient")
    assert observation["subject"]["reference"] == f"Patient/{patient['id']}"


def test_a_changed_resource_is_updated_and_an_equal_one_is_not(settings: Settings, tmp_path: Path) -> None:
    """Loading resources with ids again updates those that changed; the others keep their version."""
    write(tmp_path / "a.ndjson", PATIENT | {"id": "a"}, PATIENT | {"id": "b"})
    run(settings, tmp_path)
    write(tmp_path / "a.ndjson", PATIENT | {"id": "a"}, PATIENT | {"id": "b", "active": True})
    summary = run(settings, tmp_path)
    assert summary.counts == Counter({("Patient", "unchanged"): 1, ("Patient", "updated"): 1})
    assert {result["id"]: result["meta"]["versionId"] for result in stored(settings, "Patient")} == {"a": "1", "b": "2"}


def test_a_broken_file_does_not_end_the_load(settings: Settings, tmp_path: Path) -> None:
    """A gzip file that is cut off is reported, and the other files are loaded."""
    (tmp_path / "a.json.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    write(tmp_path / "b.json", transaction(PATIENT))
    summary = run(settings, tmp_path)
    assert [Path(result.file).name for result in summary.refusals] == ["a.json.gz"]
    assert summary.counts == Counter({("Patient", "created"): 1})


def test_a_load_that_was_killed_goes_on_where_it_stood(settings: Settings, tmp_path: Path) -> None:
    """After kill -9 in the middle, loading again stores the rest, and nothing that was stored a second time."""
    files, size = 60, 40
    for number in range(files):
        resources = [PATIENT | {"identifier": [{"system": "urn:mrn", "value": f"{number}.{at}"}]} for at in range(size)]
        write(tmp_path / f"{number}.json", transaction(*resources))
    command = [sys.executable, "-m", "fhir_server", "load", str(tmp_path), "--workers", "2"]
    environment = os.environ | {
        "FHIR_SERVER_DATABASE_URL": str(settings.database_url),
        "FHIR_SERVER_DATABASE_NAME": settings.database_name,
    }
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while not stored(settings, "Patient"):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    before = len(stored(settings, "Patient"))
    assert before % size == 0
    summary = run(settings, tmp_path)
    identifiers = [result["identifier"][0]["value"] for result in stored(settings, "Patient")]
    assert len(identifiers) == len(set(identifiers)) == files * size
    assert summary.refusals == []
    assert summary.counts.total() < files * size


def test_load_over_http(tmp_path: Path) -> None:
    """With a base URL the same files go to that server; what it has been given is remembered in the state file."""
    folder = tmp_path / "files"
    folder.mkdir()
    write(folder / "a.json", transaction(PATIENT))
    write(folder / "b.ndjson", PATIENT | {"id": "b"}, PATIENT | {"id": "c", "birthDate": "never"})
    with RunningServer(tmp_path / "data") as server:
        summary = run(Settings(), folder, base_url=server.base_url)
        assert summary.counts == Counter({("Patient", "created"): 2})
        assert [result.place for result in summary.refusals] == ["line 2"]
        assert summary.refusals[0].issues[0]["expression"] == ["Bundle.entry[0].resource.birthDate"]
        assert httpx.get(f"{server.base_url}Patient?_summary=count").json()["total"] == 2
        again = run(Settings(), folder, base_url=server.base_url)
        assert (again.counts.total(), again.skipped_files, len(again.refusals)) == (0, 1, 1)
    gone = run(Settings(), folder, base_url=f"http://127.0.0.1:{server.port}/other")
    assert {result.status for result in gone.refusals} == {503}


def test_load_joins_the_database_of_a_running_server(tmp_path: Path) -> None:
    """On the data directory of a running server, `load` writes into its database, and exits with 1 after a refusal."""
    write(tmp_path / "good.json", transaction(PATIENT))
    write(tmp_path / "bad.json", transaction({"resourceType": "Patient", "colour": "red"}))
    report = tmp_path / "refused.jsonl"
    with RunningServer(tmp_path / "data") as server:
        options = ["--data-dir", str(server.data_dir), "--workers", "1", "--refused", str(report)]
        good = CliRunner().invoke(app, ["load", str(tmp_path / "good.json"), *options])
        assert good.exit_code == 0, good.output
        assert not report.exists()
        assert httpx.get(f"{server.base_url}Patient").json()["entry"][0]["resource"]["identifier"][0]["value"] == "1"
        bad = CliRunner().invoke(app, ["load", str(tmp_path / "bad.json"), *options])
        assert bad.exit_code == 1
        assert "Patient.colour" in report.read_text() or "resource.colour" in report.read_text()


def test_synthea_loads_whole(settings: Settings, tmp_path: Path) -> None:
    """All Synthea bundles are taken, and every resource is stored."""
    console = Console(file=StringIO())
    summary = load([SYNTHEA], settings, workers=2, refused=tmp_path / "refused", console=console)
    assert summary.refusals == []
    assert {name: count for (name, _), count in summary.counts.items()} == SYNTHEA_COUNTS
    assert {name: len(stored(settings, name)) for name in SYNTHEA_COUNTS} == SYNTHEA_COUNTS
