"""GET /user/export: a person's whole record, as a Bundle and as a page."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import Any

from fhir_server.r4 import values
from fhir_server.r4.validation import validate
from tests.gdpr.conftest import LARGE, Story


async def bundle_of(story: Story) -> dict[str, Any]:
    response = await story.mara.send("GET", "/user/export")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/fhir+json"
    found: dict[str, Any] = values.decode(response.content)
    return found


async def test_everything_is_in_the_bundle(story: Story) -> None:
    """The Bundle is valid FHIR and has the patient's resources, the files in full, payments, and who was concerned."""
    bundle = await bundle_of(story)
    assert bundle["type"] == "collection"
    assert [issue for issue in validate(bundle, max_depth=50) if issue.severity == "error"] == []
    found = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in bundle["entry"]}
    assert bundle["entry"][0]["resource"]["id"] == story.mara.id
    assert {"Observation/o1", "CarePlan/plan", "DocumentReference/doc", "Binary/letter", "Binary/scan"} <= found
    assert {f"Appointment/{story.appointment['id']}", "Practitioner/okpara", "Location/harbour"} <= found
    kinds = [name.partition("/")[0] for name in found]
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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


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
