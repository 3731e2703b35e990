"""What packages and R4 define is behind the one access rule like everything else, by each way that leads to it."""

from __future__ import annotations

import pytest

from fhir_server.engine.context import Services
from fhir_server.packages.archive import package_of
from fhir_server.packages.installing import Installer
from tests.attacks.callers import ask, patient_token, resource_of, system_token
from tests.unit.packages.archives import archive, manifest, profile, value_set

_WAYS = [
    "ValueSet/a",
    "ValueSet/a/_history/1",
    "ValueSet/administrative-gender",
    "ValueSet?url=http://example.org/ValueSet/a",
    "ValueSet?_summary=count",
    "ValueSet/a/$expand",
]


@pytest.fixture
async def installed(services: Services) -> Services:
    """The services, with a package."""
    content = archive(manifest(), value_set("a"), value_set("b", title="Shown"), profile("p"))
    await Installer(services.database, services.definitions, "test").install(package_of(content, "test"), None)
    return services


@pytest.mark.parametrize("url", _WAYS)
async def test_a_type_outside_the_scopes_is_not_shown(installed: Services, url: str) -> None:
    """Neither read nor searched nor expanded, by a service or by a patient."""
    for token in (system_token("system/Patient.rs"), patient_token("p", "patient/Observation.rs")):
        assert (await ask(installed, token, "GET", url)).status == 403, url


async def test_a_scope_with_a_condition_shows_what_meets_it(installed: Services) -> None:
    """Of a package and of R4 alike, however it is asked for."""
    token = system_token("system/ValueSet.rs?url=http://example.org/ValueSet/b")
    assert (await ask(installed, token, "GET", "ValueSet/b")).status == 200
    for url in ("ValueSet/a", "ValueSet/a/_history/1", "ValueSet/administrative-gender", "ValueSet/a/$expand"):
        assert (await ask(installed, token, "GET", url)).status == 404, url
    found = resource_of(await ask(installed, token, "GET", "ValueSet?_total=accurate"))
    assert found["total"] == 1
    assert [each["resource"]["id"] for each in found["entry"]] == ["b"]
    for url, status in (("http://example.org/ValueSet/b", 200), ("http://example.org/ValueSet/a", 404)):
        assert (await ask(installed, token, "GET", f"ValueSet/$expand?url={url}")).status == status, url


async def test_nobody_writes_what_a_package_has(installed: Services) -> None:
    """Not by every right of a service either; who may not write at all is told that, and not whose it is."""
    changed = {**value_set("a"), "status": "retired"}
    for method, body in (("PUT", changed), ("DELETE", None)):
        answer = await ask(installed, system_token("system/ValueSet.cruds"), method, "ValueSet/a", body)
        assert answer.status == 405, answer.json
        for token in (system_token("system/ValueSet.rs"), patient_token("p", "patient/*.rs")):
            assert (await ask(installed, token, method, "ValueSet/a", body)).status == 403
    assert resource_of(await ask(installed, system_token(), "GET", "ValueSet/a"))["status"] == "active"


async def test_a_purge_does_not_reach_into_packages(installed: Services) -> None:
    """It removes what the site has stored, and nothing else."""
    await ask(installed, system_token(), "POST", "ValueSet/a/$purge")
    await ask(installed, system_token(), "DELETE", "ValueSet?url=http://example.org/ValueSet/a")
    assert (await ask(installed, system_token(), "GET", "ValueSet/a")).status == 200
