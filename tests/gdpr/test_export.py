"""GET /user/export: a person's whole record, as a Bundle and as a page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from fhir_server.hospital.records.page.words import _elements, element_name, extension_name
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.validation import validate
from tests.gdpr.conftest import LARGE, Story


async def bundle_of(story: Story) -> dict[str, Any]:
    response = await story.mara.send("GET", "/user/export")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/fhir+json"
    result: dict[str, Any] = values.decode(response.content)
    return result


async def test_everything_is_in_the_bundle(story: Story) -> None:
    """The Bundle is valid FHIR and has the patient's resources, the files in full, payments, and who was concerned."""
    bundle = await bundle_of(story)
    assert bundle["type"] == "collection"
    assert [issue for issue in validate(bundle, max_depth=50) if issue.severity == "error"] == []
    items = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in bundle["entry"]}
    assert bundle["entry"][0]["resource"]["id"] == story.mara.id
    assert {"Observation/o1", "CarePlan/plan", "DocumentReference/doc", "Binary/letter", "Binary/scan"} <= items
    assert {f"Appointment/{story.appointment['id']}", "Practitioner/okpara", "Location/harbour"} <= items
    kinds = [name.partition("/")[0] for name in items]
    assert [kinds.count(kind) for kind in ("Patient", "RelatedPerson", "Invoice", "PaymentReconciliation")] == [1] * 4
    files = {entry["resource"]["id"]: entry["resource"] for entry in bundle["entry"] if "Binary" in entry["fullUrl"]}
    assert base64.b64decode(files["letter"]["data"]) == b"secret letter"
    assert files["scan"]["data"] == LARGE


async def test_nothing_of_others_is_in_the_bundle(story: Story) -> None:
    """No other patient, and nothing of theirs, also where a document leads to another's file."""
    foreign = {"contentType": "text/plain", "url": "Binary/noors"}
    await story.hospital.put(
        {"resourceType": "Binary", "id": "noors", "contentType": "text/plain", "data": "eA==",
         "securityContext": {"reference": f"Patient/{story.noor.id}"}},
        {"resourceType": "DocumentReference", "id": "sly", "status": "current", "content": [{"attachment": foreign}],
         "subject": {"reference": f"Patient/{story.mara.id}"}},
    )  # fmt: skip
    text = values.encode(await bundle_of(story)).decode()
    assert "DocumentReference/sly" in text
    for other in (story.noor.id, 'Binary/noors","resource', "Group/g", "Patient/twin"):
        assert other not in text


async def test_a_token_is_needed(story: Story) -> None:
    """Without a token there is no record."""
    await story.hospital.visitor().refused("invalid_token", "GET", "/user/export")


class Page(HTMLParser):
    """A page's headings and text, its tags balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []
        self.links: list[str] = []
        self.labels: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)
        if self.open[-1:] == ["dt"]:
            self.labels.add(data)


async def page_of(story: Story, language: str | None) -> Page:
    headers = {"Accept": "text/html"} | ({"Accept-Language": language} if language else {})
    response = await story.mara.send("GET", "/user/export", headers=headers)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page = Page()
    page.feed(response.text)
    assert page.open == []
    return page


async def test_the_page_speaks_the_patients_language(story: Story) -> None:
    """The page is in the user's own language and time, or in the one that is asked for, and has the files in it."""
    spanish, english = await page_of(story, None), await page_of(story, "en")
    assert {"Su historia clínica", "Citas", "Recetas", "Familia"} - {"Recetas"} <= set(spanish.text)
    assert {"Your health record", "Appointments", "Family"} <= set(english.text)
    assert "data:text/plain;base64,c2VjcmV0IGxldHRlcg==" in english.links
    assert "Kindermund" in english.text


async def test_what_others_wrote_cannot_act_in_the_page(story: Story) -> None:
    """Markup in a resource, a reference or a content type is shown as text."""
    subject = {"subject": {"reference": f"Patient/{story.mara.id}", "display": '"><script>alert(1)</script>'}}
    await story.hospital.put(
        {"resourceType": "Observation", "id": "x", "status": "final", "code": {"text": "<img src=x onerror=a()>"},
         **subject},
        {"resourceType": "Binary", "id": "x", "contentType": 'a"><script>', "data": "eA==",
         "securityContext": {"reference": f"Patient/{story.mara.id}"}},
    )  # fmt: skip
    page = await page_of(story, "en")
    assert not page.seen & {"script", "img"}
    assert "<img src=x onerror=a()>" in page.text


RECORD: list[dict[str, Any]] = [
    {"resourceType": "MedicationRequest", "id": "pills", "status": "active", "intent": "order",
     "medicationCodeableConcept": {"text": "Lisinopril"}, "authoredOn": "2026-01-01",
     "requester": {"reference": "Practitioner/okpara"},
     "dosageInstruction": [{"text": "Uno", "timing": {"repeat": {
         "frequency": 2, "period": 1, "periodUnit": "d",
         "boundsDuration": {"value": 7, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}}}}]},
    {"resourceType": "Encounter", "id": "visit", "status": "finished",
     "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
     "period": {"start": "2026-03-09T14:30:00Z", "end": "2026-03-09T15:00:00Z"},
     "location": [{"location": {"reference": "Location/harbour"}}]},
    {"resourceType": "Observation", "id": "ldl", "status": "final", "code": {"text": "LDL"},
     "effectiveDateTime": "2026-03-09T14:30:00Z", "encounter": {"reference": "Encounter/visit"},
     "valueQuantity": {"value": 131.5, "unit": "mg/dL"}, "valueSomething": None},
]  # fmt: skip
ID = re.compile(rf"[0-9a-f]{{8}}-[0-9a-f]{{4}}-|({'|'.join(RESOURCE_TYPES)})/[A-Za-z0-9]")


async def _with_record(story: Story) -> None:
    subject = {"subject": {"reference": f"Patient/{story.mara.id}"}}
    for resource in RECORD:
        await story.hospital.put({name: value for name, value in {**resource, **subject}.items() if value is not None})


@pytest.mark.parametrize("language", ["es", "en"])
async def test_the_page_is_wholly_in_one_language_and_shows_names(story: Story, language: str) -> None:
    """Labels and codes are words of the page's language, and what is referred to is called by name, never by id."""
    await _with_record(story)
    page = await page_of(story, language)
    text = " ".join(page.text)
    assert [part for part in page.text if ID.search(part)] == []
    assert "Dr Samuel Okpara" in page.text
    assert "Harbour Clinic" in page.text
    ours, others = (1, 0) if language == "es" else (0, 1)
    for pair in (("active", "activo"), ("finished", "terminada"), ("outpatient visit", "consulta ambulatoria"),
                 ("Status", "Estado"), ("Value", "Valor"), ("7 days", "7 días")):  # fmt: skip
        assert pair[ours] in page.text, (pair, text)
        assert pair[others] not in page.text
    if language == "es":
        assert page.labels <= {element_name(name, "es") for name in _elements()} | {
            extension_name(name, "es") for name in ("refund-status", "payment-method", "timezone")
        }
        assert "Otro dato" not in page.labels


HOSTILE = "'\"><script>alert(1)</script><img src=x onerror=a()>"


@pytest.mark.parametrize("language", ["es", "en"])
async def test_hostile_resources_are_shown_as_text(story: Story, language: str) -> None:
    """Wherever a text may stand, its markup stays text; links lead to places of the page, or are files in it."""
    subject = {"subject": {"reference": f"Patient/{story.mara.id}", "display": HOSTILE}}
    concept = {"coding": [{"system": "http://e.org", "code": "x", "display": HOSTILE}]}
    attachment = {"contentType": "text/plain", "title": HOSTILE, "data": "eA=="}
    await story.hospital.put(
        {"resourceType": "Practitioner", "id": "okpara", "name": [{"text": HOSTILE}]},
        {"resourceType": "Observation", "id": "x", "status": "final", "code": concept, **subject,
         "valueString": HOSTILE, "note": [{"text": HOSTILE, "authorString": HOSTILE}],
         "performer": [{"reference": "Practitioner/okpara"}]},
        {"resourceType": "DocumentReference", "id": "x", "status": "current", **subject, "description": HOSTILE,
         "content": [{"attachment": attachment}, {"attachment": {"url": "javascript:alert(1)", "title": HOSTILE}}]},
        {"resourceType": "Communication", "id": "x", "status": "completed", **subject,
         "recipient": [{"reference": f"Patient/{story.mara.id}"}], "payload": [{"contentString": HOSTILE}]},
        {"resourceType": "Coverage", "id": "x", "status": "active", "subscriberId": HOSTILE,
         "beneficiary": {"reference": f"Patient/{story.mara.id}"}, "payor": [{"display": HOSTILE}],
         "identifier": [{"system": HOSTILE.replace(" ", ""), "value": HOSTILE}]},
    )  # fmt: skip
    page = await page_of(story, language)
    assert page.seen <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "section", "article", "dl",
                         "dt", "dd", "div", "a"}  # fmt: skip
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert sum(HOSTILE in part for part in page.text) >= 8


async def test_nobody_elses_name_is_on_the_page(story: Story) -> None:
    """A reference to another patient, or to another's family, does not tell who that is."""
    other = {"resourceType": "RelatedPerson", "id": "other", "name": [{"text": "Secret Child"}],
             "patient": {"reference": f"Patient/{story.noor.id}"}}  # fmt: skip
    performer = [{"reference": f"Patient/{story.noor.id}"}, {"reference": "RelatedPerson/other"}]
    await story.hospital.put(
        other,
        {"resourceType": "Observation", "id": "x", "status": "final", "code": {"text": "X"}, "performer": performer,
         "subject": {"reference": f"Patient/{story.mara.id}"}},
    )  # fmt: skip
    page = await page_of(story, "en")
    assert "another person" in page.text
    assert not {"Secret Child", "Noor Lindqvist"} & set(page.text)
