"""Nothing personal is in clear in any file: what was brought in by each door is sought byte by byte.

The same is done on a plain database, where all of it must be found: so the search itself is no less than it seems.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import zstandard

from fhir_server.search.params.strings import inverted
from fhir_server.store.backup.copying import back_up
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod
from tests.encrypted import KEY
from tests.facade_server import PASSWORD, Hospital, opened

# Each differs from its neighbours from the first letter on, so that compression leaves it in one piece.
NAMES = ("qzlastname", "vxfirstname", "jqhomestreet", "wzhometown", "kvmailbox", "xjdiagnosis", "zqnotes", "jvcomment")
FAMILY, GIVEN, STREET, CITY, MAIL, DIAGNOSIS, NOTE, COMMENT = NAMES
PHONE, CODE, IDENTIFIER, WANTED, SOUGHT = "+12025550177", "zj73.911", "wq-8842-771", "kjsoughtname", "vqkeptsearch"
SIGNED_UP, RENAMED, KEYED = "yqsignedup", "wyrenamed", "qjkeyed"
DOCUMENT = b"xqv-document-bytes-" * 3
PLAIN = (*NAMES, PHONE, CODE, IDENTIFIER, SOUGHT, SIGNED_UP, base64.b64encode(DOCUMENT).decode()[:40])
"""What a plain database has in its files for certain."""
SECRET = {*PLAIN, WANTED, RENAMED, KEYED, PASSWORD, DOCUMENT[:19].decode(), inverted(FAMILY)[:-1], inverted(GIVEN)[:-1]}


def _patient(family: str = FAMILY) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:numbers", "value": IDENTIFIER}],
        "name": [{"family": family, "given": [GIVEN]}],
        "telecom": [{"system": "email", "value": f"{MAIL}@example.org"}, {"system": "phone", "value": PHONE}],
        "address": [{"line": [STREET], "city": CITY}],
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{COMMENT} words</div>'},
    }


def _condition(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "subject": {"reference": patient},
        "code": {"coding": [{"system": "urn:codes", "code": CODE, "display": DIAGNOSIS}], "text": f"{DIAGNOSIS} left"},
        "note": [{"text": f"{NOTE} and more"}],
        "contained": [{"resourceType": "Practitioner", "id": "p", "name": [{"family": FAMILY}]}],
        "recorder": {"reference": "#p"},
    }


async def _fhir(hospital: Hospital) -> None:
    """Write, change, delete and search by FHIR, alone, on condition, in bundles and later."""
    patient = await hospital.fhir("POST", "Patient", _patient())
    reference = f"Patient/{patient['id']}"
    await hospital.fhir("PUT", reference, {**_patient(f"{FAMILY}-{RENAMED}"), "id": patient["id"]})
    condition = await hospital.fhir("POST", "Condition", _condition(reference))
    await hospital.fhir("DELETE", f"Condition/{condition['id']}")
    await hospital.fhir("POST", "Condition", _condition(reference))
    data = base64.b64encode(DOCUMENT).decode()
    await hospital.fhir("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": data})
    large = base64.b64encode(DOCUMENT * 90_000).decode()
    await hospital.fhir("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": large})
    assert (await hospital.fhir("GET", f"Patient?family={FAMILY}"))["entry"]
    assert (await hospital.fhir("GET", f"Condition?code:text={DIAGNOSIS}&_sort=code"))["entry"]
    await hospital.services.search.keep({"sought": f"{SOUGHT} {SOUGHT[::-1]}"})


async def _over_http(hospital: Hospital) -> None:
    """Sign up, change the profile, search and be refused over HTTP, each of which leaves its event."""
    user = await hospital.sign_up(SIGNED_UP, last_name=FAMILY.capitalize())
    await user.ask("GET", "/user/profile")
    await user.ask("POST", "/user/login", {"email": f"{KEYED}@example.org", "password": PASSWORD}, status=None)
    await hospital.http.get(f"/fhir/Patient?family={WANTED}")
    await hospital.app.state.audit.flush()


async def _all_doors(url: str, data_dir: Path, target: Path, **settings: Any) -> None:
    async with opened(url, "fhir", data_dir, blob_threshold_bytes=1_000_000, **settings) as hospital:
        await _fhir(hospital)
        await _over_http(hospital)
        # What was not told the database yet is in the journal.
        await hospital.http.get(f"/fhir/Patient?name={WANTED}")
        database = await Database.connect(url)
        try:
            await back_up(database, data_dir, target)
            await database.client.admin.command("fsync")
        finally:
            await database.close()


def _contents(folder: Path) -> dict[Path, bytes]:
    """Return all files below a folder, those of a backup as they were before their compression."""
    contents = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if data.startswith(b"\x28\xb5\x2f\xfd"):
                data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
            contents[path] = data
    return contents


def _seen(folder: Path, secrets: set[str]) -> dict[str, str]:
    """Return the secrets that stand in a file below the folder, whatever their case, with one such file."""
    seen = {}
    for path, data in _contents(folder).items():
        lowered = data.lower()
        for secret in secrets:
            if secret.lower().encode() in lowered:
                seen[secret] = str(path.relative_to(folder))
    return seen


async def test_nothing_personal_is_in_clear_in_any_file(tmp_path: Path) -> None:
    """Neither in the database's files, its journal and log, nor the server's journal, nor a backup."""
    data_dir, target = tmp_path / "data", tmp_path / "backups"
    with EmbeddedMongod(data_dir, cache_gb=0.25) as mongod:
        await _all_doors(mongod.url, data_dir, target, encryption_key=KEY.hex())
        assert _seen(tmp_path, SECRET) == {}
    assert _seen(tmp_path, SECRET) == {}


async def test_the_search_for_it_finds_what_is_in_clear(tmp_path: Path) -> None:
    """In the files of a plain database, and in its backup."""
    data_dir, target = tmp_path / "data", tmp_path / "backups"
    with EmbeddedMongod(data_dir, cache_gb=0.25) as mongod:
        await _all_doors(mongod.url, data_dir, target)
    assert set(PLAIN) <= _seen(target, SECRET).keys()
    assert set(PLAIN) <= _seen(data_dir, SECRET).keys()
