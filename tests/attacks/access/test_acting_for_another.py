"""Whoever acts for another patient does so as long as the relation or the hospital's policy says so, at every door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.engine.panels import panel_of
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.attacks.access.test_exports import finished
from tests.attacks.callers import BASE
from tests.command_counts import CommandCounts, counted_database
from tests.smart_server import App, SmartServer, answered, smart_server

SECRET = "zebra"
PAST, FUTURE = {"end": "2020-01"}, {"start": "2999"}

USERS = {"rhea": "practitioner", "rolf": "admin"}

Granted = tuple[App, dict[str, str]]


def relation(patient: str = "child", **overrides: Any) -> dict[str, Any]:
    return {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": f"Patient/{patient}"}, **overrides}


async def store(server: SmartServer, *resources: dict[str, Any]) -> None:
    writer = server.fhir(await server.system_token("system/*.cruds"))
    for resource in resources:
        answer = await writer.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code in (200, 201), answer.text


async def granted(server: SmartServer, username: str, scope: str) -> Granted:
    """Return an app and the tokens that the user's consent gave it, launched on the child."""
    app = await server.add_client()
    ehr = {"Authorization": f"Bearer {await server.system_token('ehr_launch')}"}
    form = {"client_id": app.client_id, "user": username, "patient": "child"}
    prepared = await server.http.post("/oauth/launch", json=form, headers=ehr)
    browser = server.browser()
    url = app.authorize_url(f"launch {scope} offline_access", launch=prepared.json()["launch"])
    page = await browser.sign_in(await browser.get(url), username)
    if page.status_code == 200:
        page = await browser.submit(page, "/oauth/consent", button="approve")
    reported = answered(page)
    return app, (await app.exchange(reported["code"])).json() if "code" in reported else reported


@pytest.fixture
async def family(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield a hospital with a child, a stranger, and a parent who has an account of each role."""
    async with smart_server(mongod_url, database.name, tmp_path) as server:
        for name in ("child", "stranger"):
            code = {"text": f"{SECRET}{name}"}
            observation = {"resourceType": "Observation", "id": name, "status": "final", "code": code}
            await store(
                server,
                {"resourceType": "Patient", "id": name, "name": [{"family": f"{SECRET}{name}"}]},
                {**observation, "subject": {"reference": f"Patient/{name}"}},
            )
        await store(server, relation())
        for name, role in USERS.items():
            await server.add_user(name, role, "RelatedPerson/r")
        yield server


WAYS = ("Observation/child", "Patient/child", "Observation", "Patient/child/$everything", "Observation/child/_history")


async def assert_shown_nothing(client: httpx.AsyncClient) -> None:
    for path in WAYS:
        answer = await client.get(path)
        assert SECRET not in answer.text, path
    written = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/child"},
    }
    assert (await client.post("Observation", json=written)).status_code in (401, 403)


ENDS = [
    relation(active=False),
    relation(period=PAST),
    relation(period=FUTURE),
    relation("stranger"),
    None,
]


async def end(server: SmartServer, ended: dict[str, Any] | None) -> None:
    if ended is None:
        writer = server.fhir(await server.system_token("system/*.cruds"))
        assert (await writer.delete("RelatedPerson/r")).status_code == 204
    else:
        await store(server, ended)


@pytest.mark.parametrize("ended", ENDS, ids=["inactive", "past", "to come", "another's", "deleted"])
async def test_a_grant_does_not_outlive_the_relation(family: SmartServer, ended: dict[str, Any] | None) -> None:
    """The app of a parent sees and writes nothing once the relation has ended, at each request and after a refresh."""
    app, tokens = await granted(family, "rolf", "patient/*.cruds")
    client = family.fhir(tokens["access_token"])
    for path in WAYS:
        assert SECRET in (await client.get(path)).text, path
    await end(family, ended)
    refreshed = (await app.refresh(tokens["refresh_token"])).json()
    for secret in (tokens["access_token"], refreshed.get("access_token")):
        if secret is not None:
            await assert_shown_nothing(family.fhir(secret))


async def test_no_app_is_let_in_by_a_relation_that_is_over(family: SmartServer) -> None:
    """A launch on a patient to whom the relation has ended gives no code, whatever the account's role."""
    await store(family, relation(period=PAST))
    for name in USERS:
        assert (await granted(family, name, "patient/*.rs"))[1]["error"] == "access_denied"
    await store(family, relation(period={"start": "2020", "end": "2999"}, active=True))
    for name in USERS:
        assert "access_token" in (await granted(family, name, "patient/*.rs"))[1]


async def test_what_was_made_behind_the_scenes_ends_with_the_relation(family: SmartServer) -> None:
    """Files of an export and answers made later are not given to who does not act for the patient any longer."""
    _, tokens = await granted(family, "rhea", "patient/*.rs")
    client = family.fhir(tokens["access_token"])
    _, manifest = await finished(client, "$export?_type=Observation")
    later, _ = await finished(client, "Observation")
    file = manifest["output"][0]["url"]
    for url in (file, later):
        assert SECRET in (await client.get(url)).text
    await store(family, relation(period=PAST))
    for url in (file, later):
        answer = await client.get(url)
        assert answer.status_code == 403
        assert SECRET not in answer.text


async def test_a_role_that_is_over_shows_nobody(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """A PractitionerRole counts within its period only, and the hospital's endpoints do no more than /fhir."""
    role = {
        "resourceType": "PractitionerRole",
        "id": "dora",
        "practitioner": {"reference": "Practitioner/dora"},
        "location": [{"reference": "Location/harbour"}],
    }
    people = [{"actor": {"reference": actor}, "status": "accepted"} for actor in ("Patient/child", "Location/harbour")]
    async with smart_server(mongod_url, database.name, tmp_path, staff_sees="clinics") as server:
        await store(
            server,
            {"resourceType": "Location", "id": "harbour"},
            {"resourceType": "Practitioner", "id": "dora"},
            role,
            {"resourceType": "Patient", "id": "child", "name": [{"family": SECRET}]},
            {"resourceType": "Appointment", "id": "a", "status": "proposed", "participant": people},
        )
        await server.add_user("dora", "practitioner", "Practitioner/dora")
        doctor = server.fhir(await server.token_for("dora", "user/*.rs"))
        _, tokens = await granted(server, "dora", "patient/*.cruds")
        facade = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert (await doctor.get("Patient/child")).status_code == 200
        assert SECRET in (await server.http.get("/user/profile", headers=facade)).text
        for period in (PAST, FUTURE):
            await store(server, {**role, "period": period})
            assert (await doctor.get("Patient/child")).status_code == 404
            assert SECRET not in (await server.http.get("/user/profile", headers=facade)).text


async def test_a_relation_is_read_once_and_ends_at_once(database: Database, mongod_url: str) -> None:
    """A request asks only whether the relation's version is current; an end that another worker wrote holds at once.

    So does what comes under the same id and number after a purge.
    """
    counts = CommandCounts()
    counted = counted_database(mongod_url, database.name, counts)
    own, another = await services_on(counted, Settings()), await services_on(database, Settings())

    async def write(resource: dict[str, Any]) -> None:
        await handle(Context(another, BASE), Request("PUT", "RelatedPerson/r", resource=resource))

    async def patients() -> set[str]:
        panel = await panel_of(own, "RelatedPerson/r")
        assert panel is not None
        return set(panel.patients)

    assert await patients() == set()
    await write(relation())
    assert await patients() == {"child"}
    counts.clear()
    assert await patients() == {"child"}
    assert counts.names == {"find": 1}
    await write(relation("stranger"))
    assert await patients() == {"stranger"}
    await write(relation(active=False))
    assert await patients() == set()
    await handle(Context(another, BASE), Request("POST", "RelatedPerson/r/$purge"))
    assert await patients() == set()
    await write(relation("stranger"))
    assert await patients() == {"stranger"}
    await handle(Context(another, BASE), Request("POST", "RelatedPerson/r/$purge"))
    await write(relation("child"))
    assert await patients() == {"child"}
    await counted.close()
