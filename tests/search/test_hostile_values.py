"""Values that mean something to a database or to a regular expression mean nothing to a search (traps 28 and 49)."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.search.asking import coded, found, observation, patient, store

HOSTILE = (
    '{"$ne":1}',
    "$where",
    "$ne",
    "{$gt: ''}",
    ".*.*.*x",
    "^.*$",
    "(a+)+$",
    "[a-z]*",
    "a' or '1'='1",
    '"; db.dropDatabase(); //',
    "../../../etc/passwd",
    "%00",
    "\u0000",
    "\u001f",
    "\ufffd\uffff",
    "\U0010ffff",
    "*",
    "*/",
    "<script>alert(1)</script>",
    "${jndi:ldap://x}",
    "\r\nSet-Cookie: a=b",
)
PARAMETERS = (
    "family",
    "family:exact",
    "family:contains",
    "identifier",
    "identifier:not",
    "identifier:text",
    "gender",
    "general-practitioner",
    "general-practitioner:identifier",
    "general-practitioner.name",
    "_has:Observation:patient:code",
    "_id",
    "_tag",
    "_profile",
    "_profile:below",
    "_text",
    "_content",
    "_list",
)


@pytest.mark.parametrize("name", PARAMETERS)
async def test_an_operator_is_a_literal(client: httpx.AsyncClient, name: str) -> None:
    """Trap 49: operators, patterns and control characters find nothing that does not have them, and break nothing."""
    await store(client, patient("p", gender="male", name=[{"family": "Quill"}], identifier=[{"value": "1"}]))
    for value in HOSTILE:
        answer = await client.get(f"Patient?{name}={quote(value, safe='')}")
        assert answer.status_code in (200, 400), (value, answer.text)
        if answer.status_code == 200:
            matches = [each for each in answer.json().get("entry", ()) if each["search"]["mode"] == "match"]
            assert bool(matches) is (name.endswith(":not")), repr(value)


@pytest.mark.parametrize("value", [".*.*.*x", "^.*$", '{"$ne":1}', "(a+)+$", "$where", "a\\b"])
async def test_a_hostile_value_is_found_where_it_stands(client: httpx.AsyncClient, value: str) -> None:
    """Trap 49: the same characters are found as what they are."""
    await store(
        client,
        patient("with", name=[{"family": value}], identifier=[{"system": "urn:s", "value": value}]),
        patient("without", name=[{"family": "xyz"}], identifier=[{"system": "urn:s", "value": "x"}]),
    )
    escaped = value
    for character in ("\\", "$", ",", "|"):
        escaped = escaped.replace(character, f"\\{character}")
    expected = quote(escaped, safe="")
    assert await found(client, f"Patient?family:exact={expected}") == {"with"}
    assert await found(client, f"Patient?identifier={expected}") == {"with"}
    assert await found(client, f"Patient?identifier=urn:s|{expected}") == {"with"}


async def test_names_of_parameters_are_no_paths(client: httpx.AsyncClient) -> None:
    """Trap 49: a dollar or a dot in a parameter's name reaches no field of the database."""
    await store(client, patient("p"))
    for name in ("$where", "_id.$ne", "keys", "resource.active", "family.$regex", "a\u0000b"):
        answer = await client.get(f"Patient?{quote(name)}=1", headers={"Prefer": "handling=strict"})
        assert answer.status_code == 400, name


async def test_ten_thousand_characters_are_a_value(client: httpx.AsyncClient) -> None:
    """Trap 49: a value of 10,000 characters, however nested or repeated, is answered like any other."""
    await store(
        client, patient("p", name=[{"family": "a" * 10_000}]), observation("o", code=coded(("urn:s", "b" * 10_000)))
    )
    long = "a" * 10_000
    assert await found(client, f"Patient?family={long}") == {"p"}
    assert await found(client, f"Patient?family={long[:-1]}") == {"p"}
    assert await found(client, f"Patient?family={long[:3_000]}b") == set()
    assert await found(client, f"Observation?code={'b' * 10_000}") == {"o"}
    for nested in ("\\" * 10_000, "(" * 10_000, "a," * 2_000 + "a", "|" * 10_000, ".*" * 5_000, "[" * 10_000):
        for name in ("family", "family:contains", "identifier"):
            answer = await client.get(f"Patient?{name}={quote(nested)}")
            assert answer.status_code in (200, 400), answer.text


async def test_ten_thousand_ids_are_answered_or_refused(client: httpx.AsyncClient) -> None:
    """Trap 28: 10,000 ids by POST are answered, or are said to be too many; never a fault."""
    await store(client, patient("last"))
    ids = ",".join([*(f"none-{number}" for number in range(10_000)), "last"])
    answer = await client.post(
        "Patient/_search", content=f"_id={ids}", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code in (200, 413)
    if answer.status_code == 200:
        assert [each["resource"]["id"] for each in answer.json()["entry"]] == ["last"]


async def test_a_long_chain_is_refused(client: httpx.AsyncClient) -> None:
    """A chain without end is a 400, not a stack overflow."""
    for name in ("partof." * 500 + "name", "_has:Organization:partof:" * 500 + "name"):
        answer = await client.get(f"Organization?{name}=x")
        assert answer.status_code == 400
