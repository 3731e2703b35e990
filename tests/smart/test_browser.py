"""A real browser with an unmodified SMART app: npm's fhirclient in Debian's Chromium, against a server over HTTP.

Needs chromium, and fhirclient as `make test-data` fetches it.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from playwright.async_api import async_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fhir_server.cli import accounts
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.needs import chromium
from tests.samples import fetched
from tests.smart.over_http import free_port, served
from tests.smart_server import PASSWORD
from tools.fetch_test_data import CLIENT

SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"

LAUNCH = """<!doctype html><title>launch</title><script src="/fhir-client.js"></script><script>
FHIR.oauth2.authorize({clientId: "%(client_id)s", scope: "%(scope)s", redirectUri: "%(origin)s/app"});
</script>"""

APP = """<!doctype html><title>app</title><script src="/fhir-client.js"></script><script>
const refused = (error) => "refused " + (error.statusCode || error.status);
const told = (promise) => promise.then((found) => found.id || found, refused);
const show = (result) => { document.body.id = "result"; document.body.textContent = JSON.stringify(result); };
FHIR.oauth2.ready().then(async (client) => {
  const before = client.state.tokenResponse.access_token;
  const result = {
    patient: client.patient.id,
    read: await told(client.patient.read()),
    own: await told(client.user.read()),
    encounter: client.encounter.id && await told(client.encounter.read()),
    observations: (await client.patient.request("Observation")).total,
  };
  if (client.state.tokenResponse.refresh_token) {
    await client.refresh();
    result.refreshed = client.state.tokenResponse.access_token !== before;
    result.readAgain = await told(client.patient.read());
  }
  result.neighbour = await told(client.request("Patient/neighbour"));
  result.search = (await client.request("Observation?subject=Patient/neighbour")).total;
  show(result);
}).catch((error) => show({error: String(error)}));
</script><body></body>"""


BOOKMARK = """<!doctype html><title>bookmark</title><script src="/fhir-client.js"></script><body><script>
const show = (result) => { document.body.id = "result"; document.body.textContent = JSON.stringify(result); };
FHIR.oauth2.init({clientId: "%(client_id)s", scope: "%(scope)s", redirectUri: "%(origin)s/bookmark", iss: "%(base)s"})
  .then(async (client) => show({patient: client.patient.id, read: (await client.patient.read()).id}))
  .catch((error) => show({error: String(error)}));
</script></body>"""
"""A page that launches itself whenever it is opened without a session, as the library's documentation shows."""


LEAVE = """<!doctype html><title>leave</title><form method="%(method)s" action="%(base)s/oauth/end_session">
<input name="id_token_hint" value="%(hint)s"><input name="client_id" value="%(client_id)s">
<input name="post_logout_redirect_uri" value="%(origin)s/bye"><input name="state" value="s1">
<button>leave</button></form>"""
"""An app's own page from which its users sign out."""


@pytest.fixture(scope="session")
def library() -> bytes:
    """Return the browser build of npm's fhirclient, just as it was published."""
    with tarfile.open(fetched(CLIENT.file_name)) as files:
        member = files.extractfile("package/build/fhir-client.min.js")
        assert member is not None
        return member.read()


class World:
    """A server with two patients, an app on another origin, and a browser."""

    def __init__(self, app: Starlette, base: str, site: str, browser: Any) -> None:
        self.app, self.base, self.site, self.browser = app, base, site, browser
        self.client_id = ""

    async def run(self, work: Any) -> Any:
        """Return what an operator's command gives."""
        return await work(self.app.state.services, self.app.state.oauth.store)

    async def opened(self, url: str, username: str, pick: str | None = None) -> dict[str, Any]:
        """Launch the app, sign in, allow, and return what the app then found out."""
        page, result = await self.visited(url, username, pick)
        await page.context.close()
        return result

    async def visited(self, url: str, username: str, pick: str | None = None) -> tuple[Any, dict[str, Any]]:
        """Do the same and return the page besides, where the browser has been led to."""
        page = await (await self.browser.new_context()).new_page()
        await page.goto(url)
        await page.fill("input[name=username]", username)
        await page.fill("input[name=password]", PASSWORD)
        await page.click("main button[type=submit]")
        if pick is not None:
            await page.check(f"input[name=patient][value={pick}]")
            await page.click("button.main")
        await page.click("button[name=approve]")
        result: dict[str, Any] = json.loads(await page.locator("#result").text_content(timeout=20_000))
        return page, result


@pytest.fixture
async def world(library: bytes, mongod_url: str, database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """Yield all of it, running."""
    executable = chromium()
    port, site_port = free_port(), free_port()
    base, site = f"http://127.0.0.1:{port}/fhir", f"http://localhost:{site_port}"
    settings = Settings(
        port=port,
        database_url=mongod_url,
        database_name=database.name,
        data_dir=tmp_path,
        staff_sees="all",
        log_level="critical",
    )
    server = create_app(settings)

    async def launch(request: Any) -> HTMLResponse:
        scope = "launch openid fhirUser patient/*.rs launch/encounter" if "launch" in request.query_params else SCOPE
        return HTMLResponse(LAUNCH % {"client_id": world.client_id, "scope": scope, "origin": site})

    async def app(request: Any) -> HTMLResponse:
        return HTMLResponse(APP)

    async def bookmark(request: Any) -> HTMLResponse:
        return HTMLResponse(BOOKMARK % {"client_id": world.client_id, "scope": SCOPE, "origin": site, "base": base})

    async def leave(request: Any) -> HTMLResponse:
        return HTMLResponse(LEAVE % {"base": base.removesuffix("/fhir"), "origin": site, **request.query_params})

    async def script(request: Any) -> Response:
        return Response(library, media_type="text/javascript")

    pages = Starlette(
        routes=[
            Route("/launch", launch),
            Route("/app", app),
            Route("/bookmark", bookmark),
            Route("/leave", leave),
            Route("/bye", app),
            Route("/fhir-client.js", script),
        ]
    )
    async with served(server, port), served(pages, site_port), async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        world = World(server, base, site, browser)
        await _fill(world)
        yield world
        await browser.close()


async def _fill(world: World) -> None:
    app = accounts.add_client(
        "Growth chart", None, secret=False, redirect_uris=[f"{world.site}/app", f"{world.site}/bookmark"],
        post_logout_redirect_uris=[f"{world.site}/bye"], jwks=None, jwks_uri=None, launch_url=f"{world.site}/launch",
    )  # fmt: skip
    world.client_id = (await world.run(app))["client_id"]
    token = await _service_token(world, "system/*.cruds")
    async with httpx.AsyncClient(base_url=world.base + "/", headers={"Authorization": f"Bearer {token}"}) as fhir:
        for name in ("anna", "neighbour"):
            await fhir.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name, "name": [{"family": name}]})
            observation = {
                "resourceType": "Observation",
                "status": "final",
                "code": {"text": "x"},
                "subject": {"reference": f"Patient/{name}"},
            }
            assert (await fhir.post("Observation", json=observation)).status_code == 201
        encounter = {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": {"reference": "Patient/anna"},
        }
        assert (await fhir.put("Encounter/e", json=encounter)).status_code == 201
        await fhir.put("Practitioner/doctor", json={"resourceType": "Practitioner", "id": "doctor"})
    await world.run(accounts.add_user("anna", PASSWORD, "patient", "Patient/anna", create_patient=False))
    await world.run(accounts.add_user("doctor", PASSWORD, "practitioner", "Practitioner/doctor", create_patient=False))


async def _service_token(world: World, scope: str) -> str:
    options: Any = {"redirect_uris": [], "jwks": None, "jwks_uri": None, "launch_url": None}
    made = await world.run(accounts.add_client("Service", scope, secret=True, **options))
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            world.base.replace("/fhir", "/oauth/token"),
            data={"grant_type": "client_credentials", "scope": scope},
            auth=(made["client_id"], made["client_secret"]),
        )
    return str(answer.json()["access_token"])


async def test_a_standalone_launch_reads_refreshes_and_is_refused_the_neighbour(world: World) -> None:
    """The app finds the endpoints, the user signs in and allows, and the app sees that patient and no other one."""
    result = await world.opened(f"{world.site}/launch?iss={world.base}", "anna")
    assert result == {
        "patient": "anna", "read": "anna", "own": "anna", "encounter": None, "observations": 1,
        "refreshed": True, "readAgain": "anna", "neighbour": "refused 404", "search": 0,
    }  # fmt: skip


async def test_a_practitioner_picks_the_patient_of_a_standalone_launch(world: World) -> None:
    """The picker leads on to the consent, and the app works on the patient that was picked."""
    result = await world.opened(f"{world.site}/launch?iss={world.base}", "doctor", pick="anna")
    assert (result["patient"], result["own"], result["neighbour"]) == ("anna", "doctor", "refused 404")


async def test_an_ehr_launch_brings_the_encounter(world: World) -> None:
    """The EHR prepares the launch; the app opens with its patient and encounter, and reads both."""
    token = await _service_token(world, "ehr_launch")
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as ehr:
        form = {"client_id": world.client_id, "user": "doctor", "patient": "anna", "encounter": "e"}
        prepared = (await ehr.post(world.base.replace("/fhir", "/oauth/launch"), json=form)).json()
    result = await world.opened(prepared["url"], "doctor")
    assert (result["patient"], result["read"], result["encounter"]) == ("anna", "anna", "e")
    assert (result["own"], result["neighbour"]) == ("doctor", "refused 404")


async def test_a_page_that_launches_itself_can_be_bookmarked(world: World) -> None:
    """RFC 9207: the library leaves `iss` in the page's address and takes it for the FHIR base when opened again."""
    first, result = await world.visited(f"{world.site}/bookmark", "anna")
    assert result == {"patient": "anna", "read": "anna"}
    bookmarked = first.url
    assert dict(parse_qsl(urlsplit(bookmarked).query)) == {"iss": world.base}
    await first.reload()
    assert json.loads(await first.locator("#result").text_content(timeout=20_000)) == result
    _, again = await world.visited(bookmarked, "anna")
    assert again == result


async def test_a_patient_is_found_and_picked_by_keyboard_alone(world: World) -> None:
    """Tab, space and Enter do: every field has a label, and the focus goes by the order of the page."""
    page = await (await world.browser.new_context()).new_page()
    failed: list[str] = []
    page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
    await page.goto(f"{world.site}/launch?iss={world.base}")
    await page.fill("input[name=username]", "doctor")
    await page.fill("input[name=password]", PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_label("Name", exact=True).focus()
    await page.keyboard.type("anna")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/oauth/patient?*name=anna*")
    assert await page.locator("input[name=patient]").count() == 1
    await page.get_by_role("button", name="Search").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/oauth/consent?*")
    assert "anna" in (await page.locator("main").text_content() or "")
    await page.locator("#approve").focus()
    await page.keyboard.press("Enter")
    result = json.loads(await page.locator("#result").text_content(timeout=20_000))
    assert result["patient"] == "anna"
    assert not [text for text in failed if "Content Security Policy" in text]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("proven", [True, False])
async def test_an_app_on_another_site_signs_the_user_out(world: World, method: str, proven: bool) -> None:
    """A form that another site posts brings no cookie, and ends the session none the less; unproven it asks."""
    page, _ = await world.visited(f"{world.site}/launch?iss={world.base}", "anna")
    key = "JSON.parse(sessionStorage.getItem(JSON.parse(sessionStorage.getItem('SMART_KEY')))).tokenResponse.id_token"
    hint = await page.evaluate(key) if proven else ""
    form = {"hint": hint, "method": method, "client_id": world.client_id}
    await page.goto(f"{world.site}/leave?{urlencode(form)}")
    await page.click("button")
    if not proven:
        await page.click("#sign-out")
    await page.wait_for_url(f"{world.site}/bye?state=s1")
    await page.goto(world.base.replace("/fhir", "/oauth/apps"))
    assert "/oauth/login" in page.url
