"""Documents: what the app is told of them wherever that stands, and files of which only a part is read."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from fhir_server.store.resources.blobs import BlobStore
from tests.facade.clinic import booking_of, open_clinics
from tests.facade_server import AppUser, Hospital

LARGE = hashlib.shake_256(b"scan").digest(5 * 1024 * 1024)


def document(user: AppUser, name: str, **overrides: Any) -> dict[str, Any]:
    """Return a DocumentReference of the user."""
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "subject": {"reference": f"Patient/{user.id}"},
        "content": [{"attachment": {"url": "Binary/file"}}],
        **overrides,
    }


def binary(user: AppUser, data: bytes) -> dict[str, Any]:
    return {
        "resourceType": "Binary",
        "id": "file",
        "contentType": "application/pdf",
        "securityContext": {"reference": f"Patient/{user.id}"},
        "data": base64.b64encode(data).decode(),
    }


async def test_size_and_appointment_are_found_wherever_they_stand(hospital: Hospital) -> None:
    """A document's size is that of its file, its appointment that of its visit or of the order that it answers."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    booked = (await mara.ask("POST", "/booking/appointments", booking_of(), status=201))["id"]
    subject = {"subject": {"reference": f"Patient/{mara.id}"}}
    visit = {"reference": "Encounter/visit"}
    form = [{"contentType": "text/plain", "data": "eHl6"}, {"url": "Binary/file"}]
    order = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", **subject}
    await hospital.put(
        binary(mara, b"12345"),
        {"resourceType": "Encounter", "id": "visit", "status": "finished", "class": {"code": "AMB"}, **subject,
         "appointment": [{"reference": f"Appointment/{booked}"}]},
        {"resourceType": "CarePlan", "id": "plan", "status": "active", "intent": "plan", **subject,
         "supportingInfo": [{"reference": f"Appointment/{booked}"}]},
        {**order, "id": "visited", "encounter": visit},
        {**order, "id": "planned", "basedOn": [{"reference": "CarePlan/plan"}]},
        document(mara, "by-visit", context={"encounter": [visit]}),
        document(mara, "by-related", context={"related": [visit]}),
        document(mara, "by-order", context={"related": [{"reference": "ServiceRequest/planned"}]}),
        {"resourceType": "DiagnosticReport", "id": "report", "status": "final", "code": {"text": "X"}, **subject,
         "encounter": visit, "presentedForm": form},
        {"resourceType": "DiagnosticReport", "id": "ordered", "status": "final", "code": {"text": "X"}, **subject,
         "basedOn": [{"reference": "ServiceRequest/visited"}], "presentedForm": form},
        document(mara, "elsewhere", content=[{"attachment": {"url": "https://files.example.org/1", "size": 9}}]),
    )  # fmt: skip
    rows = {item["id"]: item for item in (await mara.ask("GET", "/history/documents"))["items"]}
    sizes = {"by-visit": 5, "by-related": 5, "by-order": 5, "report_1_report": 3, "report_2_report": 5,
             "report_1_ordered": 3, "report_2_ordered": 5, "elsewhere": 9}  # fmt: skip
    assert {name: row["size"] for name, row in rows.items()} == sizes
    assert {name for name, row in rows.items() if row["appointment_id"] == booked} == sizes.keys() - {"elsewhere"}


async def test_a_document_whose_id_looks_like_a_reports(hospital: Hospital) -> None:
    """A stored document keeps its time and its file, whatever its id; a report's documents have ids of their own."""
    mara = await hospital.sign_up("mara")
    subject = {"subject": {"reference": f"Patient/{mara.id}"}}
    own = document(mara, "report.1.a", content=[{"attachment": {"contentType": "text/plain", "data": "b3du"}}])
    form = [{"contentType": "text/plain", "data": "Zm9ybQ=="}]
    report = {"resourceType": "DiagnosticReport", "id": "a", "status": "final", "code": {"text": "X"}, **subject}
    await hospital.put(own, report | {"presentedForm": form})
    await hospital.put(own | {"description": "Again"})
    rows = {item["id"]: item for item in (await mara.ask("GET", "/history/documents"))["items"]}
    first = await hospital.fhir("GET", "DocumentReference/report.1.a/_history/1")
    assert rows["report.1.a"]["created_at"][:19] == first["meta"]["lastUpdated"][:19]
    files = {name: (await mara.send("GET", row["file_url"])).content for name, row in rows.items()}
    assert files == {"report.1.a": b"own", "report_1_a": b"form"}


@pytest.mark.parametrize("path", ["/history/documents/download?document_id=scan", "/fhir/Binary/file"])
async def test_five_bytes_of_a_large_file_cost_one_part_of_it(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A range of a file in GridFS is read by itself, never by way of the whole."""
    mara = await hospital.sign_up("mara")
    await hospital.put(binary(mara, LARGE), document(mara, "scan"))
    read: list[int] = []
    part = BlobStore.part

    async def counted(self: BlobStore, blob: str, start: int, end: int) -> bytes:
        read.append(end - start)
        return await part(self, blob, start, end)

    async def refused(self: BlobStore, blob: str) -> bytes:
        raise AssertionError("the whole was read")

    monkeypatch.setattr(BlobStore, "part", counted)
    monkeypatch.setattr(BlobStore, "read", refused)
    place = len(LARGE) - 1_000_003
    answer = await mara.send("GET", path, headers={"Range": f"bytes={place}-{place + 4}"})
    assert (answer.status_code, answer.content) == (206, LARGE[place : place + 5])
    assert answer.headers["content-range"] == f"bytes {place}-{place + 4}/{len(LARGE)}"
    assert sum(read) <= 12
    assert (await mara.send("HEAD", path)).headers["content-length"] == str(len(LARGE))
    assert (await mara.send("GET", path)).content == LARGE


@pytest.mark.parametrize("text", ["te\u2603xt/plain", "text/pl\xe4in", "text/plain; name=\xe9", "\u202etext/plain"])
async def test_a_type_that_no_header_carries_is_sent_as_bytes(hospital: Hospital, text: str) -> None:
    """A stored media type is any text; the file is downloaded all the same, whole and by ranges."""
    mara = await hospital.sign_up("mara")
    inline = {"contentType": text, "data": "eHl6", "title": "r\xe9sum\xe9 \u2603"}
    await hospital.put(document(mara, "odd", content=[{"attachment": inline}]))
    path = "/history/documents/download?document_id=odd"
    for ranges, status in ({}, 200), ({"Range": "bytes=0-1"}, 206), ({"Range": "bytes=0-0,2-2"}, 206):
        answer = await mara.send("GET", path, headers=ranges)
        assert answer.status_code == status
        answer.headers["content-type"].encode("ascii")
    assert (await mara.send("GET", path)).headers["content-type"] == "application/octet-stream"
