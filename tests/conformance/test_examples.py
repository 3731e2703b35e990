"""The official examples and real patients' bundles, stored and read back."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.engine.subscriptions.definition import hidden
from fhir_server.r4 import values
from tests.samples import SYNTHEA, official_example, some_official_examples

REFUSED = json.loads((Path(__file__).parent / "validation_baseline.json").read_text())
XML = {"Content-Type": "application/fhir+xml"}
STORED = [name for name in some_official_examples() if name not in REFUSED]


def can_be_put(name: str) -> bool:
    """Whether neither the size of an example nor its id is refused before it is validated."""
    return len(official_example(name)) < 1_000_000 and len(name.partition("-")[2]) <= len(".json") + 64


def _as_text(resource: dict[str, Any]) -> str:
    """Return the resource as JSON text, decimals and element order included, without what the server puts in meta."""
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in ("versionId", "lastUpdated")}
    head = {"resourceType": resource["resourceType"], "id": resource["id"]} | ({"meta": meta} if meta else {})
    return values.encode(head | {k: v for k, v in resource.items() if k not in ("resourceType", "id", "meta")}).decode()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", STORED)
async def test_an_official_example_comes_back_as_it_was_sent(client: httpx.AsyncClient, name: str) -> None:
    """Equal in the text of each decimal and in element order; and equal again after a trip through XML."""
    sent = values.decode(official_example(name))
    url = f"{sent['resourceType']}/{sent['id']}"
    stored = await client.put(url, content=official_example(name))
    assert stored.status_code == 201, stored.text
    read = await client.get(url, headers={"Accept": "application/fhir+json"})
    if sent["resourceType"] == "Subscription":
        sent = hidden(sent)  # the values of its headers are never shown
    assert _as_text(values.decode(read.content)) == _as_text(sent)
    xml = await client.get(url, params={"_format": "xml"})
    assert xml.headers["Content-Type"].startswith("application/fhir+xml")
    # Deleted in between, so that the XML is really stored and not taken for the same again.
    await client.delete(url)
    again = await client.put(url, content=xml.content, headers=XML)
    assert again.status_code == 201, again.text
    read = await client.get(url, headers={"Accept": "application/fhir+json"})
    assert _sorted(json.loads(_as_text(values.decode(read.content)))) == _sorted(json.loads(_as_text(sent)))
    assert sorted(_as_text(values.decode(read.content))) == sorted(_as_text(sent))


@pytest.mark.parametrize("name", [name for name in REFUSED if can_be_put(name)])
async def test_an_example_that_breaks_a_rule_is_refused_at_its_place(client: httpx.AsyncClient, name: str) -> None:
    """The baseline of official examples that a strict validator must refuse."""
    sent = values.decode(official_example(name))
    answer = await client.put(f"{sent['resourceType']}/{sent['id']}", content=official_example(name))
    assert answer.status_code == 422
    places = {place for issue in answer.json()["issue"] for place in issue["expression"]}
    assert REFUSED[name]["expression"] in places


async def test_every_synthea_bundle_is_stored_whole(client: httpx.AsyncClient) -> None:
    """Each resource is there, and each reference leads to one."""
    counts: Counter[str] = Counter()
    for path in sorted(SYNTHEA.glob("*.gz")):
        answer = await client.post("", content=gzip.decompress(path.read_bytes()))
        assert answer.status_code == 200, answer.text
        counts.update(entry["response"]["location"].split("/")[-4] for entry in answer.json()["entry"])
    for resource_type, count in counts.items():
        total = (await client.get(f"{resource_type}?_summary=count")).json()["total"]
        assert total == count
