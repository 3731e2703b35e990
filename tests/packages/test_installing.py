"""Installing packages and removing them, and what of them is found at the FHIR base."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.packages.archive import Package, package_of
from fhir_server.packages.faults import PackageError
from fhir_server.packages.installing import Installer, Report
from fhir_server.packages.registry import NotInRegistry, Release
from tests.unit.packages.archives import archive, manifest, profile, search_parameter, value_set

Json = dict[str, Any]


class Shelf:
    """A registry in memory."""

    def __init__(self, *packages: bytes) -> None:
        self._packages = {each.manifest.id: each for each in (package_of(content, "shelf") for content in packages)}
        self.fetched: list[str] = []

    async def release(self, name: str, expected: str) -> Release:
        """Return the release where the version is there."""
        if f"{name}#{expected}" not in self._packages:
            raise NotInRegistry(f"There is no {name}#{expected}.")
        return Release(name, expected, "", None, None)

    async def fetch(self, release: Release) -> Package:
        """Return the package."""
        self.fetched.append(f"{release.name}#{release.version}")
        return self._packages[self.fetched[-1]]


@pytest.fixture
def installer(services: Services) -> Installer:
    """An installer on the test's database."""
    return Installer(services.database, services.definitions, services.stores.jobs, "test")


@pytest.fixture
def install(installer: Installer) -> Callable[..., Any]:
    """Return what installs the bytes of an archive."""

    async def installing(content: bytes, shelf: Shelf | None = None, **how: Any) -> Report:
        return await installer.install(package_of(content, "test"), shelf, **how)

    return installing


async def _found(client: httpx.AsyncClient, url: str) -> list[str]:
    answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    return [each["resource"]["id"] for each in answer.json().get("entry", ()) if each["search"]["mode"] == "match"]


async def test_what_a_package_has_is_read_and_searched(client: httpx.AsyncClient, install: Any) -> None:
    """By id, by version, by url, by its tag, in a page of a sort; and it tells from which package it is."""
    await install(archive(manifest(), value_set("a"), value_set("b"), profile("p")))
    read = await client.get("ValueSet/a")
    assert (read.status_code, read.headers["etag"]) == (200, 'W/"1"')
    assert {"system": "urn:fhir:package", "code": "test.one#1.0.0"} in read.json()["meta"]["tag"]
    assert (await client.get("ValueSet/a/_history/1")).json() == read.json()
    assert (await client.get("ValueSet/a/_history/2")).status_code == 404
    assert await _found(client, "ValueSet?url=http://example.org/ValueSet/b") == ["b"]
    assert await _found(client, "ValueSet?_tag=urn:fhir:package|test.one%231.0.0&_sort=-url") == ["b", "a"]
    assert await _found(client, "StructureDefinition?type=Patient") == ["p"]


async def test_definitions_and_what_is_stored_share_pages(client: httpx.AsyncClient, install: Any) -> None:
    """Each comes once, in the order of a sort and without one, and all are counted."""
    for number in range(3):
        await client.put(f"ValueSet/s{number}", json=value_set(f"s{number}", base="http://site.example"))
    await install(archive(manifest(), *(value_set(f"d{number}") for number in range(4))))
    expected = {"s0", "s1", "s2", "d0", "d1", "d2", "d3"}
    for sort, ordered in (("", False), ("&_sort=url", True), ("&_sort=-_lastUpdated", False)):
        url, ids = f"ValueSet?_count=2&_total=accurate{sort}", []
        while url:
            page = (await client.get(url)).json()
            assert page.get("total", 7) == 7
            ids += [each["resource"]["id"] for each in page["entry"]]
            url = next((each["url"] for each in page["link"] if each["relation"] == "next"), "")
        assert len(ids) == 7
        assert set(ids) == expected
        assert not ordered or ids == sorted(ids)


async def test_what_a_package_has_is_not_the_sites_to_change(client: httpx.AsyncClient, install: Any) -> None:
    """Update, patch and delete of it are 405 and name the package, in a transaction, too; nothing changes."""
    await install(archive(manifest(), value_set("a")))
    before = (await client.get("ValueSet/a")).json()
    patch = [{"op": "replace", "path": "/status", "value": "retired"}]
    headers = {"Content-Type": "application/json-patch+json"}
    answers = [
        await client.put("ValueSet/a", json=value_set("a", status="retired")),
        await client.patch("ValueSet/a", json=patch, headers=headers),
        await client.delete("ValueSet/a"),
        await client.delete("StructureDefinition/Patient"),
        await client.patch("StructureDefinition/Patient", json=patch, headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 405, answer.text
        assert "DELETE" not in answer.headers["allow"]
        assert "package" in answer.json()["issue"][0]["diagnostics"]
    for method, resource in (("PUT", value_set("a", status="retired")), ("DELETE", None)):
        entry = {"request": {"method": method, "url": "ValueSet/a"}} | ({"resource": resource} if resource else {})
        other = {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [other, entry]}
        answer = await client.post("", json=bundle)
        assert answer.status_code == 405, answer.text
    assert (await client.get("ValueSet/a")).json() == before
    assert (await client.get("Patient")).json()["total"] == 0


async def test_the_site_may_use_an_id_of_r4(client: httpx.AsyncClient) -> None:
    """What R4 has under it is then neither read nor found, before and after its definitions are made searchable."""
    for number, code in enumerate(("administrative-gender", "account-status")):
        own = {**value_set(code), "title": "Ours"}
        transaction = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"resource": own, "request": {"method": "PUT", "url": f"ValueSet/{code}"}}],
        }
        answer = await (client.put(f"ValueSet/{code}", json=own) if number else client.post("", json=transaction))
        assert answer.status_code in (200, 201), answer.text
        assert (await client.get(f"ValueSet/{code}")).json()["title"] == "Ours"
        body = (await client.get("ValueSet", params={"_id": code})).json()
        assert [entry["resource"]["title"] for entry in body["entry"]] == ["Ours"]
        assert body["total"] == 1
        assert (await client.delete(f"ValueSet/{code}")).status_code in (200, 204)
        assert (await client.get(f"ValueSet/{code}")).status_code == 410
        assert (await client.get("ValueSet", params={"_id": code})).json()["total"] == 0


async def test_history_exports_and_the_whole_system_have_no_definitions(
    client: httpx.AsyncClient, install: Any
) -> None:
    """They are none of what the site has stored."""
    await install(archive(manifest(), value_set("a")))
    await client.put("ValueSet/s", json=value_set("s"))
    for url in ("ValueSet/_history", "_history"):
        assert len((await client.get(url)).json()["entry"]) == 1
    assert await _found(client, "?_lastUpdated=gt2000-01-01") == ["s"]
    assert (await client.get("ValueSet/a/_history")).status_code == 404


async def test_ids_that_are_in_use_stay_with_their_holders(client: httpx.AsyncClient, install: Any) -> None:
    """What the site has stored, R4's own, and the version that was installed first keep theirs."""
    await client.put("ValueSet/a", json=value_set("a", base="http://site.example"))
    await install(archive(manifest(), value_set("a"), value_set("b"), value_set("administrative-gender")))
    await install(archive(manifest(version="2.0.0"), value_set("b", version="2.0.0")))
    assert (await client.get("ValueSet/a")).json()["url"] == "http://site.example/ValueSet/a"
    assert (await client.get("ValueSet/b")).json()["version"] == "1.0.0"
    own = (await client.get("ValueSet/administrative-gender")).json()
    assert own["url"] == "http://hl7.org/fhir/ValueSet/administrative-gender"
    both = (await client.get("ValueSet?url=http://example.org/ValueSet/b")).json()["entry"]
    assert sorted(each["resource"]["version"] for each in both) == ["1.0.0", "2.0.0"]
    assert len({each["fullUrl"] for each in both}) == 2
    for each in both:
        assert (await client.get(each["fullUrl"])).json() == each["resource"]


async def test_the_terminology_of_packages_answers(client: httpx.AsyncClient, install: Any) -> None:
    """Expanded by url, by url and version, and by id; the latest of two versions unless one is named; in searches."""
    one = [{"system": "http://hl7.org/fhir/administrative-gender", "concept": [{"code": "other"}]}]
    await install(archive(manifest(), value_set("b", compose={"include": one})))
    await install(archive(manifest(version="2.0.0"), value_set("b", version="2.0.0")))
    for query, codes in (("", ["male", "female"]), ("|1.0.0", ["other"])):
        expanded = (await client.get(f"ValueSet/$expand?url=http://example.org/ValueSet/b{query}")).json()
        assert [each["code"] for each in expanded["expansion"]["contains"]] == codes
    assert len((await client.get("ValueSet/b/$expand")).json()["expansion"]["contains"]) == 1
    await client.put("Patient/1", json={"resourceType": "Patient", "id": "1", "gender": "male"})
    await client.put("Patient/2", json={"resourceType": "Patient", "id": "2", "gender": "other"})
    assert await _found(client, "Patient?gender:in=http://example.org/ValueSet/b") == ["1"]
    assert await _found(client, "Patient?gender:in=ValueSet/b") == ["2"]


async def test_what_the_site_has_stored_stands_in_the_place_of_a_package(
    client: httpx.AsyncClient, install: Any
) -> None:
    """Of the same url and version the site's own counts, whichever came first."""
    await install(archive(manifest(), value_set("b")))
    one = [{"system": "http://hl7.org/fhir/administrative-gender", "concept": [{"code": "other"}]}]
    await client.put("ValueSet/mine", json=value_set("b", compose={"include": one}) | {"id": "mine"})
    expanded = (await client.get("ValueSet/$expand?url=http://example.org/ValueSet/b")).json()
    assert [each["code"] for each in expanded["expansion"]["contains"]] == ["other"]


async def test_a_package_that_was_removed_is_gone_at_once(
    client: httpx.AsyncClient, install: Any, installer: Installer
) -> None:
    """Nothing of it is found, expanded or read; another version of it stays."""
    await install(archive(manifest(), value_set("a"), value_set("b")))
    await install(archive(manifest(version="2.0.0"), value_set("c", version="2.0.0")))
    assert (await client.get("ValueSet/$expand?url=http://example.org/ValueSet/a")).status_code == 200
    await installer.uninstall("test.one#1.0.0")
    assert (await client.get("ValueSet/a")).status_code == 404
    assert (await client.get("ValueSet/$expand?url=http://example.org/ValueSet/a")).status_code == 404
    assert await _found(client, "ValueSet") == ["c"]
    assert (await client.put("ValueSet/a", json=value_set("a"))).status_code == 201
    with pytest.raises(PackageError, match="not installed"):
        await installer.uninstall("test.one#1.0.0")


async def test_dependencies_come_along_and_hold_what_they_are_needed_for(installer: Installer, install: Any) -> None:
    """Each once, two that need each other, too; what is needed is removed only by force."""
    base = archive(manifest("test.base", dependencies={"test.top": "1.0.0"}), profile("base"))
    top = archive(
        manifest("test.top", dependencies={"test.base": "1.0.0", "hl7.fhir.r4.core": "4.0.1"}),
        profile("top", on="http://example.org/StructureDefinition/base"),
    )
    shelf = Shelf(base, top)
    report = await install(top, shelf)
    assert [each.id for each in report.installed] == ["test.base#1.0.0", "test.top#1.0.0"]
    assert [each.requested for each in report.installed] == [False, True]
    assert shelf.fetched == ["test.base#1.0.0"]
    with pytest.raises(PackageError, match=r"needed by test\.top#1\.0\.0"):
        await installer.uninstall("test.base#1.0.0")
    await installer.uninstall("test.base#1.0.0", force=True)


async def test_a_definition_without_what_it_stands_on_is_not_installed(client: httpx.AsyncClient, install: Any) -> None:
    """The refusal names the dependency and what to do, and nothing is installed; unless that is wanted so."""
    top = archive(
        manifest("test.top", dependencies={"hl7.fhir.us.core": "6.1.0"}),
        profile("top", on="http://example.org/StructureDefinition/base"),
        value_set("a"),
    )
    with pytest.raises(PackageError, match=r"hl7\.fhir\.us\.core#6\.1\.0, which is missing") as refusal:
        await install(top, Shelf())
    assert "package install hl7.fhir.us.core-6.1.0.tgz" in str(refusal.value)
    assert (await client.get("ValueSet/a")).status_code == 404
    report = await install(top, Shelf(), allow_missing=True)
    assert any("hl7.fhir.us.core" in note for note in report.notes)
    assert (await client.get("ValueSet/a")).status_code == 200


async def test_a_missing_package_that_nothing_stands_on_is_told(install: Any) -> None:
    """The rest works without it."""
    top = archive(manifest(dependencies={"test.ipa": "1.1.0"}), profile("p"))
    report = await install(top, Shelf())
    assert [each.id for each in report.installed] == ["test.one#1.0.0"]
    assert any("test.ipa#1.1.0" in note for note in report.notes)


async def test_a_later_terminology_stands_for_the_one_that_is_named(install: Any) -> None:
    """HL7 keeps it compatible; of other packages only the version named will do."""
    await install(archive(manifest("hl7.terminology.r4", "7.0.1"), value_set("t")))
    await install(archive(manifest("test.ipa", "1.2.0"), value_set("i")))
    needs = {"hl7.terminology.r4": "6.5.0", "test.ipa": "1.1.0"}
    report = await install(archive(manifest(dependencies=needs), value_set("a")), Shelf())
    assert report.installed[0].resolved == {"hl7.terminology.r4": "7.0.1"}


async def test_the_same_again_changes_nothing_and_other_contents_are_refused(install: Any) -> None:
    """One name and version means one content."""
    await install(archive(manifest(), value_set("a")))
    report = await install(archive(manifest(), value_set("a")))
    assert report.installed == []
    with pytest.raises(PackageError, match="other contents"):
        await install(archive(manifest(), value_set("b")))


async def test_what_is_no_valid_resource_is_left_out_and_told(client: httpx.AsyncClient, install: Any) -> None:
    """One faulty file does not keep a package out; a narrative that is not valid goes, and the rest stays."""
    faulty = {**value_set("bad"), "compose": "none"}
    narrated = {**value_set("good"), "text": {"status": "generated"}}
    files = {"package/x.json": b"no json", "package/y.json": b"[]", "package/z.json": json.dumps({"a": 1}).encode()}
    report = await install(archive(manifest(), faulty, narrated, {**value_set("c"), "id": "no id!"}, files=files))
    left_out = report.installed[0].left_out
    assert sorted(each.partition(":")[0] for each in left_out) == [
        "ValueSet-bad.json",
        "ValueSet-no id!.json",
        "x.json",
        "y.json",
    ]
    assert await _found(client, "ValueSet") == ["good"]
    assert "text" not in (await client.get("ValueSet/good")).json()


async def test_an_installation_that_was_broken_off_shows_nothing_and_begins_again(
    client: httpx.AsyncClient, install: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been gathered is not found by anybody."""
    store = services.definitions.definitions

    async def killed(package: str, types: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(store, "publish", killed)
        with pytest.raises(RuntimeError):
            await install(archive(manifest(), value_set("a")))
    assert await _found(client, "ValueSet") == []
    assert (await client.get("ValueSet/a")).status_code == 404
    await install(archive(manifest(), value_set("a")))
    assert await _found(client, "ValueSet") == ["a"]


async def test_two_do_not_install_at_once(services: Services, installer: Installer) -> None:
    """The second is told to wait."""
    other = Installer(services.database, services.definitions, services.stores.jobs, "other")
    async with other._alone():
        with pytest.raises(PackageError, match="just now"):
            await installer.install(package_of(archive(manifest(), value_set("a")), "test"), None)


async def test_search_parameters_of_packages_wait_until_they_are_switched_on(
    services: Services, install: Any, installer: Installer, client: httpx.AsyncClient
) -> None:
    """Then they are indexed and used as those that the site has stored; one that is not usable is told of."""
    from fhir_server.jobs.search_parameters import Course
    from fhir_server.packages.search_parameters import outcome_of

    shade = search_parameter("shade", "Patient.extension('urn:shade').value.ofType(string)")
    twice = search_parameter("name", "Patient.name")
    report = await install(archive(manifest(), shade, twice))
    extension = [{"url": "urn:shade", "valueString": "Blue"}]
    await client.put("Patient/1", json={"resourceType": "Patient", "id": "1", "extension": extension})
    outcome = await outcome_of(services.definitions, report.installed[0])
    assert outcome.usable == [shade["url"]]
    assert list(outcome.refused) == [twice["url"]]
    await services.following.start()
    course = Course(services, "http://server.test/fhir")

    async def settled() -> None:
        for _ in range(20):
            await course.step()
            await services.following.look()

    try:
        await settled()
        strict = {"Prefer": "handling=strict"}
        assert (await client.get("Patient?shade=blue", headers=strict)).status_code == 400
        await installer.use_search_parameters("test.one#1.0.0", used=True)
        await settled()
        assert await _found(client, "Patient?shade=blue") == ["1"]
        await installer.uninstall("test.one#1.0.0")
        await settled()
        assert (await client.get("Patient?shade=blue", headers=strict)).status_code == 400
    finally:
        await services.following.stop()


async def test_a_lock_file_brings_the_same_again(install: Any, services: Services, tmp_path: Path) -> None:
    """Names, versions and hashes, in the order in which they can be installed; another content is refused."""
    from fhir_server.packages.lock import Locked, read_lock, require_intact, write_lock

    content = archive(manifest(), value_set("a"))
    await install(content)
    lock = tmp_path / "lock.json"
    lock.write_text(json.dumps(write_lock([Locked.of(each) for each in await services.definitions.packages.all()])))
    [locked] = read_lock(lock)
    assert locked.id == "test.one#1.0.0"
    require_intact(package_of(content, "test"), locked)
    with pytest.raises(PackageError, match="other contents"):
        require_intact(package_of(archive(manifest(), value_set("b")), "test"), locked)
    for text in ("", "[]", '{"packages": [{}]}', '{"packages": [{"name": "../x", "version": "1.0.0"}]}'):
        lock.write_text(text)
        with pytest.raises(PackageError):
            read_lock(lock)
