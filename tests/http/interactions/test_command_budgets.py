"""How many database commands an interaction may cost: steady where times are not. docs/speed.md has the figures."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.command_counts import CommandCounts, counted_database
from tests.samples import SYNTHEA

TYPES = ("Organization", "Location", "Practitioner", "PractitionerRole")
EACH = 25
SYSTEM = "urn:example:ids"


@pytest.fixture
def counts() -> CommandCounts:
    return CommandCounts()


@pytest.fixture
async def database(mongod_url: str, database_name: str, counts: CommandCounts) -> AsyncIterator[Database]:
    """Yield an empty database that has every collection the tests write, since making them is not counted."""
    made = counted_database(mongod_url, database_name, counts)
    await made.ensure((*TYPES, "Patient", "Observation"))
    yield made
    await made.close()


def patient(number: int, **more: Any) -> dict[str, Any]:
    """Return a patient whose family name all share."""
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Okafor"}]} | more


async def put_all(client: httpx.AsyncClient, resources: list[dict[str, Any]]) -> None:
    """Store the resources under their ids, all at once."""
    answers = await asyncio.gather(
        *(client.put(f"{each['resourceType']}/{each['id']}", json=each) for each in resources)
    )
    assert all(answer.is_success for answer in answers)


async def test_a_read(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """One command, and reads at the same time share theirs."""
    await put_all(client, [patient(1), patient(2)])
    counts.clear()
    assert (await client.get("Patient/p1")).status_code == 200
    assert counts.names == {"find": 1}
    counts.clear()
    await asyncio.gather(*(client.get("Patient/p1") for _ in range(50)))
    assert counts.names.total() <= 3


async def test_a_version_read(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """One command for the current version, two for an earlier one; those at the same time share them."""
    await put_all(client, [patient(1)])
    await put_all(client, [patient(1, active=True)])
    counts.clear()
    assert (await client.get("Patient/p1/_history/2")).status_code == 200
    assert counts.names == {"find": 1}
    counts.clear()
    assert (await client.get("Patient/p1/_history/1")).status_code == 200
    assert counts.names == {"find": 2}
    counts.clear()
    await asyncio.gather(*(client.get("Patient/p1/_history/1") for _ in range(50)))
    assert counts.names.total() <= 6


async def test_a_search_page(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """One command a page where the first tells all there is, or no total is asked for."""
    await put_all(client, [patient(number) for number in range(30)])
    await client.get("Patient?family=Okafor&_count=20&_total=none")
    counts.clear()
    page = (await client.get("Patient?family=Okafor&_count=20&_total=none")).json()
    assert len(page["entry"]) == 20
    assert counts.names == {"find": 1}
    counts.clear()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    assert len((await client.get(following)).json()["entry"]) == 10
    assert counts.names == {"find": 1}


async def test_an_update(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """Three commands alone: the read, the copy into history, the replacement; those at the same time share theirs."""
    await put_all(client, [patient(number) for number in range(40)])
    counts.clear()
    await put_all(client, [patient(1, gender="female", active=True)])
    assert counts.names == {"find": 1, "aggregate": 1, "update": 1}
    counts.clear()
    await put_all(client, [patient(number, gender="male") for number in range(40)])
    assert counts.names.total() <= 40 * 0.5


def conditional_bundle(kind: str) -> dict[str, Any]:
    """Return a bundle that creates some resources of each type unless they are there."""
    entries = [
        {
            "fullUrl": f"urn:uuid:{name}-{number}",
            "resource": {"resourceType": name, "identifier": [{"system": SYSTEM, "value": f"{name}-{number}"}]}
            | ({"status": "active"} if name == "Location" else {}),
            "request": {"method": "POST", "url": name, "ifNoneExist": f"identifier={SYSTEM}|{name}-{number}"},
        }
        for name in TYPES
        for number in range(EACH)
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


async def conditional_commands(
    client: httpx.AsyncClient, counts: CommandCounts, kind: str, status: str
) -> Counter[str]:
    """Return the commands of one such bundle, all of whose entries are answered with a status."""
    counts.clear()
    answer = (await client.post("", json=conditional_bundle(kind))).json()
    assert {entry["response"]["status"][:3] for entry in answer["entry"]} == {status}
    return counts.names.copy()


async def test_a_transaction_of_conditional_creates(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """A type costs a look for what is there, freeing the criteria of former holders, and an insert."""
    made = await conditional_commands(client, counts, "transaction", "201")
    assert made == {"find": len(TYPES), "update": len(TYPES), "insert": len(TYPES), "commitTransaction": 1}
    again = await conditional_commands(client, counts, "transaction", "200")
    assert again == {"find": len(TYPES), "commitTransaction": 1}


async def test_a_batch_of_conditional_creates(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """Fifty entries travel together, but for the first ones, which wait for nobody."""
    made = await conditional_commands(client, counts, "batch", "201")
    assert made.keys() == {"find", "insert"}
    assert made.total() <= 8 * len(TYPES)
    again = await conditional_commands(client, counts, "batch", "200")
    assert again.keys() == {"find"}
    assert again.total() <= 3 * len(TYPES)


async def test_a_conditional_create(client: httpx.AsyncClient, counts: CommandCounts) -> None:
    """A look and an insert; where the look finds one, that is all."""
    criteria = {"If-None-Exist": f"identifier={SYSTEM}|1"}
    body = patient(1, identifier=[{"system": SYSTEM, "value": "1"}])
    counts.clear()
    assert (await client.post("Patient", json=body, headers=criteria)).status_code == 201
    assert counts.names == {"find": 1, "insert": 1}
    counts.clear()
    assert (await client.post("Patient", json=body, headers=criteria)).status_code == 200
    assert counts.names == {"find": 1}


@pytest.mark.parametrize("path", sorted(SYNTHEA.glob("*.json.gz")), ids=lambda path: path.name[:12])
async def test_a_patients_transaction(
    client: httpx.AsyncClient, database: Database, counts: CommandCounts, path: Path
) -> None:
    """An insert for each 200 resources of a type, the commit, and a look for the profiles that are claimed."""
    bundle = json.loads(gzip.decompress(path.read_bytes()))
    types = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    await database.ensure(types)
    counts.clear()
    assert (await client.post("", json=bundle)).status_code == 200
    looks = counts.names.pop("aggregate", 0)
    assert counts.names == {"insert": sum(math.ceil(number / 200) for number in types.values()), "commitTransaction": 1}
    assert looks <= len(types)
