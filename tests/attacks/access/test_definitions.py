"""What packages and R4 define is behind the one access rule like everything else, by each way that leads to it."""

from __future__ import annotations

import json

import pytest

from fhir_server.engine.context import Services
from fhir_server.packages.archive import package_of
from fhir_server.packages.installing import Installer
from tests.attacks.callers import ask, patient_token, resource_of, system_token
from tests.unit.packages.archives import archive, manifest, profile, search_parameter, value_set

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
    await Installer(services.database, services.definitions, services.stores.jobs, "test").install(
        package_of(content, "test"), None
    )
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
    page = resource_of(await ask(installed, token, "GET", "ValueSet?_total=accurate"))
    assert page["total"] == 1
    assert [each["resource"]["id"] for each in page["entry"]] == ["b"]
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


async def test_a_package_defines_nothing_of_r4_or_of_the_site(services: Services) -> None:
    """A stranger's package changes neither what R4's codes mean nor what the hospital's own URLs do; HL7's may R4's."""
    gender = "http://hl7.org/fhir/ValueSet/administrative-gender"
    claims = [
        value_set("g", compose={"include": [{"system": "urn:evil", "concept": [{"code": "x"}]}]}) | {"url": gender},
        {**profile("p"), "url": "http://hl7.org/fhir/StructureDefinition/Patient|9"},
        {**search_parameter("sex", "Patient.gender"), "url": "http://hl7.org/fhir/SearchParameter/individual-gender"},
        value_set("own", base="https://hms.test/fhir"),
        value_set("a"),
    ]
    installer = Installer(services.database, services.definitions, services.stores.jobs, "test", ["https://hms.test"])
    report = await installer.install(package_of(archive(manifest("test.evil"), *claims), "test"), None)
    [installed] = report.installed
    assert installed.counts == {"ValueSet": 1}
    assert len(installed.left_out) == 4
    shown = resource_of(await ask(services, system_token(), "GET", f"ValueSet/$expand?url={gender}"))
    assert {each["code"] for each in shown["expansion"]["contains"]} == {"male", "female", "other", "unknown"}
    later = await installer.install(package_of(archive(manifest("hl7.test"), claims[0]), "test"), None)
    assert later.installed[0].counts == {"ValueSet": 1}


async def test_a_file_with_the_id_of_another_is_left_out_and_told(services: Services) -> None:
    """Of three with one id one is installed, and the report says so: none is lost in silence."""
    files = {f"package/{at}.json": json.dumps(value_set("a", base=f"http://example.org/{at}")) for at in range(3)}
    content = archive(manifest(), files={name: text.encode() for name, text in files.items()})
    report = await Installer(services.database, services.definitions, services.stores.jobs, "test").install(
        package_of(content, "t"), None
    )
    [installed] = report.installed
    page = resource_of(await ask(services, system_token(), "GET", "ValueSet?_tag=urn:fhir:package|test.one#1.0.0"))
    assert (installed.counts, len(installed.left_out), page["total"]) == ({"ValueSet": 1}, 2, 1)
