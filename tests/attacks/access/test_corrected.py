"""What was corrected is corrected: who lost sight of a resource sees none of its versions, and what must go can go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fhir_server.cli.purge import purge_target
from fhir_server.engine.access import OpenAccess
from fhir_server.engine.context import Context
from fhir_server.engine.purge import finish_purges, purge, target_of
from fhir_server.errors import BadRequest, Conflict, FhirError, NotFound
from fhir_server.store.resources.erasure import Eraser
from fhir_server.store.work.purges import PurgeStore
from tests.smart_server import BASE, SmartServer

SECRET = "zebra"


def result(patient: str, text: str, **overrides: Any) -> dict[str, Any]:
    """Return a result of a patient's."""
    subject = {"reference": f"Patient/{patient}"}
    return {
        "resourceType": "Observation",
        "id": "r",
        "status": "final",
        "code": {"text": text},
        "subject": subject,
        **overrides,
    }


async def fill(smart: SmartServer, *resources: dict[str, Any]) -> None:
    """Store resources with all rights, one after the other."""
    writer = smart.fhir(await smart.system_token("system/*.cruds"))
    for resource in resources:
        answer = await writer.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


async def patient_a(smart: SmartServer) -> Any:
    """Return a client with the token of patient A's own app."""
    await fill(smart, *({"resourceType": "Patient", "id": name} for name in "ab"))
    await smart.add_user("anna", "patient", "Patient/a")
    return smart.fhir(await smart.token_for("anna", "patient/*.cruds"))


async def moved(smart: SmartServer) -> None:
    await fill(smart, result("a", SECRET), result("b", SECRET))


async def relabelled(smart: SmartServer) -> None:
    tag = {"meta": {"tag": [{"system": "urn:t", "code": "a"}]}}
    await fill(smart, result("a", SECRET, **tag), result("a", SECRET))


async def deleted(smart: SmartServer) -> None:
    await fill(smart, result("a", SECRET))
    await smart.fhir(await smart.system_token("system/*.cruds")).delete("Observation/r")


async def moved_to_a(smart: SmartServer) -> None:
    await fill(smart, result("b", SECRET), result("a", "horse"))


WAYS = (
    "Observation/r/_history/1",
    "Observation/r/_history/1/$meta",
    "Observation/r/_history",
    "Observation/r/_history?_at=2000",
    "Observation/_history",
    "Observation/_history?_count=1",
    "Observation/_history?_since=2000-01-01",
    "_history",
    "_history?_summary=count",
    "Observation/_history?_summary=count",
)


@pytest.mark.parametrize("correction", [moved, deleted, moved_to_a])
async def test_no_way_leads_to_what_was_corrected(
    smart: SmartServer, correction: Callable[[SmartServer], Awaitable[None]]
) -> None:
    """The wrong patient reads no version, by vread or by any history, of what is another's now, is gone, or was."""
    anna = await patient_a(smart)
    before = {way: await anna.get(way) for way in WAYS}
    await correction(smart)
    for way in WAYS:
        answer = await anna.get(way)
        assert SECRET not in answer.text, way
        if correction is not moved_to_a:
            body = answer.json().get("total") if answer.status_code == 200 else answer.status_code
            was = before[way].json().get("total") if before[way].status_code == 200 else before[way].status_code
            assert body == was, way


async def test_a_narrower_scope_sees_the_versions_of_what_it_sees_now(smart: SmartServer) -> None:
    """Who sees results with a tag only sees no old version of one that has lost the tag."""
    await patient_a(smart)
    await relabelled(smart)
    narrow = smart.fhir(await smart.token_for("anna", "patient/Observation.rs?_tag=urn:t|a"))
    assert (await narrow.get("Observation/r/_history/1")).status_code == 404
    assert (await narrow.get("Observation/_history")).json()["total"] == 0


async def test_what_was_not_corrected_keeps_its_history(smart: SmartServer) -> None:
    """The patient reads every version of what is the patient's, paged and counted."""
    anna = await patient_a(smart)
    await fill(smart, *(result("a", f"horse {number}") for number in range(3)))
    assert (await anna.get("Observation/r/_history/1")).json()["code"]["text"] == "horse 0"
    page = (await anna.get("Observation/_history?_count=2")).json()
    assert (page["total"], len(page["entry"])) == (3, 2)
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    assert [entry["response"]["etag"] for entry in (await anna.get(following)).json()["entry"]] == ['W/"1"']


# --- $purge ------------------------------------------------------------------------------------------------------


async def admin(smart: SmartServer) -> Any:
    """Return a client with an operator's token."""
    await smart.add_user("olga", "admin")
    return smart.fhir(await smart.token_for("olga", "user/*.cruds"))


async def test_an_operator_purges_a_version(smart: SmartServer) -> None:
    """The version is gone from every history; the others, the current one too, are as they were."""
    olga = await admin(smart)
    await fill(smart, result("a", SECRET), result("a", "1"), result("a", "2"))
    assert (await olga.post("Observation/r/_history/1/$purge")).status_code == 200
    assert (await olga.get("Observation/r/_history/1")).status_code == 404
    for way in ("Observation/r/_history", "Observation/_history", "_history?_at=2000"):
        assert SECRET not in (await olga.get(way)).text
    history = (await olga.get("Observation/r/_history")).json()
    assert [entry["response"]["etag"] for entry in history["entry"]] == ['W/"3"', 'W/"2"']
    assert (await olga.post("Observation/r/_history/1/$purge")).status_code == 404
    assert (await olga.post("Observation/r/_history/3/$purge")).status_code == 409
    assert (await olga.put("Observation/r", json=result("a", "3"))).json()["meta"]["versionId"] == "4"


async def test_a_version_between_others_leaves_their_times_right(smart: SmartServer) -> None:
    """A version that a purged one had replaced was not current at any later time."""
    olga = await admin(smart)
    await fill(smart, result("a", "1"), result("a", "2"), result("a", "3"))
    at = (await olga.get("Observation/r")).json()["meta"]["lastUpdated"]
    await olga.post("Observation/r/_history/2/$purge")
    answer = (await olga.get("Observation/r/_history", params={"_at": at})).json()
    assert [entry["response"]["etag"] for entry in answer["entry"]] == ['W/"3"']
    assert answer["total"] == 1


async def test_an_operator_purges_a_resource_and_a_patient(smart: SmartServer) -> None:
    """All versions are gone, of a deleted resource as well; a patient goes with all that is the patient's."""
    olga = await admin(smart)
    await fill(
        smart, {"resourceType": "Patient", "id": "a"}, result("a", "1"), result("a", "2"), result("a", "3", id="s")
    )
    await smart.add_user("anna", "patient", "Patient/a")
    await olga.delete("Observation/r")
    assert (await olga.post("Observation/r/$purge")).status_code == 200
    assert (await olga.get("Observation/r")).status_code == 404
    assert (await olga.get("Observation/r/_history")).status_code == 404
    assert (await olga.post("Patient/a/$purge")).status_code == 200
    for place in ("Patient/a", "Observation/s", "Observation/s/_history/1"):
        assert (await olga.get(place)).status_code == 404
    assert await smart.store.users.find_by_name("anna") is None
    events = await audited(smart)
    assert sorted(event["what"] for event in events if event["asked"] == "$purge") == ["Observation/r", "Patient/a"]


async def audited(smart: SmartServer) -> list[dict[str, str]]:
    """Return what the trail tells of operations and commands, the oldest first."""
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    page = (await auditor.get("AuditEvent?_sort=date&_count=200")).json()
    events = [entry["resource"] for entry in page["entry"]]
    return [
        {"asked": "$purge" if "$purge" in str(event) else event["subtype"][-1]["code"], "what": _what(str(event))}
        for event in events
    ]


def _what(event: str) -> str:
    return next((name for name in ("Observation/r", "Patient/a") if name in event), "")


async def test_the_command_purges_and_is_told(smart: SmartServer) -> None:
    """The operator's command does the same, and the trail says who did it to what, refusals too."""
    await fill(smart, result("a", SECRET), result("a", "2"))
    settings = smart.services.settings
    await purge_target(settings, "Observation/r/_history/1")
    for refused in ("Observation/r/_history/1", "Observation/r/_history/2", "Observation/nobody"):
        with pytest.raises(FhirError):
            await purge_target(settings, refused)
    with pytest.raises(BadRequest):
        await purge_target(settings, "Observation?code=x")
    events = [event for event in await audited(smart) if event["asked"] == "purged"]
    assert len(events) == 4
    history = await smart.fhir(await smart.system_token("system/*.cruds")).get("Observation/r/_history")
    assert SECRET not in history.text


@pytest.mark.parametrize(
    ("role", "user", "scope"),
    [
        ("patient", "Patient/a", "patient/*.cruds"),
        ("patient", "Patient/a", "user/*.cruds"),
        ("practitioner", "Practitioner/p", "user/*.cruds"),
        ("admin", None, "user/*.rs"),
        ("admin", None, "user/Patient.cruds"),
        ("admin", None, "user/Observation.cruds?status=final"),
    ],
)
async def test_nobody_else_purges(smart: SmartServer, role: str, user: str | None, scope: str) -> None:
    """Purging takes an operator whose token may delete all of the type; a scope alone is not enough."""
    await fill(smart, {"resourceType": "Patient", "id": "a"}, {"resourceType": "Practitioner", "id": "p"})
    await fill(smart, result("a", "1"), result("a", "2"))
    await smart.add_user("somebody", role, user)
    somebody = smart.fhir(await smart.token_for("somebody", scope))
    for target in ("Observation/r", "Observation/r/_history/1"):
        assert (await somebody.post(f"{target}/$purge")).status_code == 403
        assert (await somebody.get(f"{target}/$purge")).status_code in (403, 405)
    service = smart.fhir(await smart.system_token("system/*.cruds"))
    assert (await service.post("Observation/r/$purge")).status_code == 403
    assert (await smart.fhir().post("Observation/r/$purge")).status_code == 401
    assert (await service.get("Observation/r/_history")).json()["total"] == 2


async def test_what_is_not_to_be_purged(smart: SmartServer) -> None:
    """The audit trail stays, and so does what others need; a purge has no place in a transaction."""
    olga = await admin(smart)
    role = {"resourceType": "PractitionerRole", "id": "x", "location": [{"reference": "Location/l"}]}
    await fill(smart, {"resourceType": "Location", "id": "l"}, role, result("a", "1"), result("a", "2"))
    assert (await olga.post("AuditEvent/1/$purge")).status_code in (403, 409)
    assert (await olga.post("Location/l/$purge")).status_code == 409
    entry = {"request": {"method": "POST", "url": "Observation/r/_history/1/$purge"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await olga.post("", json=bundle)).status_code == 400
    assert (await olga.get("Observation/r/_history")).json()["total"] == 2


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("target", ["Observation/r", "Observation/r/_history/1", "Patient/a"])
@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_purge_that_was_killed_is_finished(
    smart: SmartServer, target: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is broken off, the job finishes it."""
    await fill(smart, {"resourceType": "Patient", "id": "a"}, result("a", SECRET), result("a", "2"))
    context = Context(smart.services, BASE, access=OpenAccess())
    names = ("erase", "erase_version", "erase_earlier")
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(Eraser, name, _dying(getattr(Eraser, name), where))
        with pytest.raises(Killed):
            await purge(context, target_of(target))
    assert await PurgeStore(smart.services.database).unfinished() == [target]
    assert await finish_purges(context) == 1
    for name in ("Observation", "Observation_history"):
        for document in await smart.services.database.raw[name].find().to_list():
            assert SECRET not in str(document)
    assert await finish_purges(context) == 0
    with pytest.raises(NotFound):
        await purge(context, target_of(target))
    assert await PurgeStore(smart.services.database).unfinished() == []


def _dying(method: Any, where: str) -> Any:
    async def called(self: Any, *arguments: Any) -> Any:
        if where == "after":
            await method(self, *arguments)
        raise Killed

    return called


async def test_the_current_version_is_corrected_and_not_purged(smart: SmartServer) -> None:
    """A resource is never left without the version that is current."""
    await fill(smart, result("a", "1"))
    context = Context(smart.services, BASE, access=OpenAccess())
    with pytest.raises(Conflict):
        await purge(context, target_of("Observation/r/_history/1"))
