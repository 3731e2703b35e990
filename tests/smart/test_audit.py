"""The audit trail: every access is told, to auditors only, and a kill loses none."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

from fhir_server.audit.job import AuditTrail
from fhir_server.audit.records import AccessRecord, Actor, encode_record
from fhir_server.r4.validation import validate
from fhir_server.store.work.audit_journal import AuditJournal
from tests.smart_server import BASE, SmartServer


async def _events(smart: SmartServer, query: str = "&type=rest") -> list[dict[str, Any]]:
    """Return what an auditor finds of FHIR requests, the oldest first."""
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    page = (await auditor.get(f"AuditEvent?_sort=date&_count=200{query}")).json()
    return [entry["resource"] for entry in page.get("entry", [])]


def _told(event: dict[str, Any]) -> tuple[str, str, str]:
    requested = event.get("entity", [{}])[0]
    target = requested.get("description") or requested.get("what", {}).get("reference", "")
    return event["subtype"][0]["code"], event.get("outcomeDesc", event["action"])[:3], target


async def test_each_access_is_told_with_who_what_and_how_it_ended(smart: SmartServer) -> None:
    """Reads, searches, writes, bundles, refusals and strangers: each is one valid AuditEvent."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    await fhir.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    await fhir.get("Patient/a")
    await fhir.get("Patient?name=Miller")
    await fhir.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "Patient/a"}}, {"request": {"method": "DELETE", "url": "Patient/zzz"}},
    ]})  # fmt: skip
    await smart.fhir().get("Patient/a")
    await smart.fhir("wrong").get("Patient/a")
    account = await smart.add_user("anna", "patient", "Patient/a")
    token = await smart.token_for("anna", "patient/Patient.rs")
    await smart.fhir(token).get("Patient/b")
    await smart.fhir(token).get("Observation")
    await fhir.get("metadata")
    events = await _events(smart)
    # Two accesses may share a millisecond, so their order is not told.
    assert sorted(_told(event) for event in events) == sorted([
        ("update", "C", "Patient/a"),
        ("read", "R", "Patient/a"),
        ("search-type", "E", "GET Patient"),
        ("batch", "E", "GET Patient/a 200 OK"),
        ("read", "401", "Patient/a"),
        ("read", "401", "Patient/a"),
        ("read", "404", "Patient/b"),
        ("search-type", "403", "GET Observation"),
    ])  # fmt: skip
    by_name = {_told(event): event for event in events}
    for event in events:
        assert validate(event, max_depth=100) == []
    assert base64.b64decode(by_name["search-type", "E", "GET Patient"]["entity"][0]["query"]) == b"Patient?name=Miller"
    assert len(by_name["batch", "E", "GET Patient/a 200 OK"]["entity"]) == 2
    anna = by_name["read", "404", "Patient/b"]["agent"][0]
    assert (anna["who"]["reference"], anna["altId"], anna["requestor"]) == ("Patient/a", account["id"], True)
    assert "name" not in anna
    assert anna["network"]["address"]
    by_patient = await _events(smart, "&patient=Patient/b")
    assert [_told(event)[1] for event in by_patient] == ["404"]


async def test_only_an_auditor_s_scope_reads_the_trail(smart: SmartServer) -> None:
    """No wildcard reaches it, nobody changes it."""
    await smart.add_user("anna", "patient", "Patient/a")
    await smart.fhir().get("Patient/a")
    event = (await _events(smart))[0]
    tokens = [
        await smart.system_token("system/*.cruds"),
        await smart.token_for("anna", "patient/AuditEvent.rs patient/Patient.rs"),
        await smart.token_for("anna", "user/AuditEvent.rs user/Patient.rs"),
    ]
    for token in tokens:
        fhir = smart.fhir(token)
        assert (await fhir.get("AuditEvent")).status_code == 403
        assert (await fhir.get(f"AuditEvent/{event['id']}")).status_code in (403, 404)
        assert event["id"] not in (await fhir.get("?_lastUpdated=gt2000")).text
        assert event["id"] not in (await fhir.get("_history")).text
        assert (await fhir.delete(f"AuditEvent/{event['id']}")).status_code == 403
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.cruds"))
    assert (await auditor.get(f"AuditEvent/{event['id']}")).status_code == 200
    assert (await auditor.delete(f"AuditEvent/{event['id']}")).status_code == 403
    assert (await auditor.put(f"AuditEvent/{event['id']}", json=event)).status_code == 403


async def test_a_killed_worker_s_accesses_are_told_by_the_next_and_once(smart: SmartServer, tmp_path: Path) -> None:
    """What was written down before the kill is stored, also where half of it had been stored already."""
    directory = tmp_path / "killed"
    records = [AccessRecord(f"id-{n}", 1_700_000_000_000, Actor(), "GET", "Patient/a", "", 200) for n in range(300)]
    lines = b"\n".join(map(encode_record, records))
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from fhir_server.store.work.audit_journal import AuditJournal\n"
        "journal = AuditJournal(Path(sys.argv[1]))\n"
        "for line in sys.stdin.buffer.read().split(b'\\n'): journal.append(line)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(directory)], input=lines, check=False
    )
    assert ended.returncode == -9
    left = next(directory.glob("*.journal"))
    kept = left.read_bytes()
    async with AuditTrail(smart.services, BASE, directory) as trail:
        while left.exists():  # noqa: ASYNC110 - a file tells nobody that it is gone
            await asyncio.sleep(0.05)
        # As if the kill had come between storing and removing the file.
        left.write_bytes(kept + b'["cut off')
        trail._late += trail._journal.orphans()
        await trail.flush()
    stored = await smart.services.resources.read_many("AuditEvent", [record.id for record in records])
    assert len(stored) == 300
    assert {version.version for version in stored.values()} == {1}
    assert not list(directory.iterdir())


async def test_an_access_that_cannot_be_written_down_is_not_answered(smart: SmartServer) -> None:
    """A full disk must not become a way to read without a trace."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    await fhir.put("Patient/a", json={"resourceType": "Patient", "id": "a", "name": [{"family": "Miller"}]})
    trail = smart.app.state.audit
    append = trail._journal.append

    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    trail._journal.append = full
    try:
        answer = await fhir.get("Patient/a")
    finally:
        trail._journal.append = append
    assert answer.status_code == 503
    assert "Miller" not in answer.text


async def test_the_journal_of_a_living_worker_is_left_alone(tmp_path: Path) -> None:
    """Another worker takes only what nobody holds."""
    own, other = AuditJournal(tmp_path), AuditJournal(tmp_path)
    own.append(b"1")
    assert list(other.orphans()) == []
    own.close()
    assert [batch.lines() for batch in other.orphans()] == [[b"1"]]


async def test_a_line_that_cannot_be_read_holds_up_no_other(smart: SmartServer, tmp_path: Path) -> None:
    """It is set aside as it is, and what stands after it is told."""
    directory = tmp_path / "of-two-versions"
    journal = AuditJournal(directory)
    record = AccessRecord("after-the-unreadable", 1_700_000_000_000, Actor(), "GET", "Patient/a", "", 200)
    for line in (b'["of another version"]', encode_record(record)):
        journal.append(line)
    journal.close()
    async with AuditTrail(smart.services, BASE, directory):
        async with asyncio.timeout(10):
            while list(directory.glob("*.journal"))[1:]:  # noqa: ASYNC110 - a file tells nobody that it is gone
                await asyncio.sleep(0.05)
    assert await smart.services.resources.read("AuditEvent", record.id) is not None
    assert [path.read_bytes() for path in directory.iterdir()] == [b'["of another version"]\n']
