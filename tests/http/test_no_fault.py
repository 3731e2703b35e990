"""No input makes a fault of the server's own: thousands of requests put together from true and false parts."""

# ruff: noqa: E501 - tables of odd values read better in long lines

from __future__ import annotations

import random
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES, search_parameters

REQUESTS = 1500
NAMES = [
    *sorted({parameter.code for parameter in search_parameters()}),
    *("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_text", "_content", "_list", "_has", "_type"),
    *(
        "_filter",
        "_query",
        "_include",
        "_revinclude",
        "_sort",
        "_count",
        "_total",
        "_summary",
        "_elements",
        "_contained",
    ),
    *(
        "_containedType",
        "_format",
        "_pretty",
        "_page",
        "_since",
        "_at",
        "_multiple",
        "nonsense",
        "",
        "$",
        "a.b",
        "a:b:c",
    ),
]
MODIFIERS = [
    *("", "", "", "", "missing", "exact", "contains", "text", "not", "in", "not-in", "above", "below", "of-type"),
    *("identifier", "Patient", "iterate", "nonsense", "Patient.name", "Group.member"),
]
VALUES = [
    *("", "a", "1", "-1", "0.1", "1e400", "NaN", "true", "false", "2020", "2020-13-45", "ge2020-01-01", "lt9999", "sa0001-01-01"),
    *("eb2020-01-01T24:00:00Z", "2020-02-30", "ap5", "5.4|http://unitsofmeasure.org|mg", "5||", "|", "||", "|||", "a|b", "a|", "|b"),
    *("$", "a$b", "a$b$c", "\\", "\\,", ",", ",,,", "a,b", "\x00", "\x1f", "\U0001f600", "é", "ﬀ", "%", "*", ".*", "(", "[a", "{$ne:1}"),
    *("Patient/1", "Patient/1/_history/2", "http://x/y|1.0", "urn:oid:1.2", "#x", "Patient:name", "Observation:patient:code:x"),
    *("Observation:patient:Patient", "*", "-date,name", "name eq 'a' and (birthdate gt 2020)", "not(", "x" * 10_000, "1," * 5000),
    *("0", "1000000", "99999999999999999999", "count", "data", "accurate", "12.3|45.6|7|km", "91|181|1|km", "M97.0"),
]  # fmt: skip


def _query(chance: random.Random) -> str:
    pairs = []
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3))):
        name, modifier = chance.choice(NAMES), chance.choice(MODIFIERS)
        if chance.random() < 0.1:
            name = f"{name}.{chance.choice(NAMES)}"
        if chance.random() < 0.05:
            name = f"_has:{chance.choice(('Observation', 'Group', 'x'))}:{chance.choice(('patient', 'member', 'y'))}:{name}"
        pairs.append(f"{quote(name + (':' + modifier if modifier else ''))}={quote(chance.choice(VALUES))}")
    return "&".join(pairs)


def _path(chance: random.Random) -> str:
    kind = chance.choice(("Patient", "Observation", "Location", "Encounter", *chance.sample(sorted(RESOURCE_TYPES), 3)))
    return chance.choice(
        (
            "", kind, kind, kind, kind, kind, f"{kind}/a", f"{kind}/a/_history", f"{kind}/a/_history/1", "_history",
            f"{kind}/_history", f"Patient/a/{kind}", "Patient/a/*", f"{kind}/$validate", f"{kind}/a/$meta", "$nothing",
            f"{kind}/a/$everything", "metadata", f"{kind}/{quote(chance.choice(VALUES)[:60], safe='')}", "%", "//", "a/b/c/d/e/f",
        )
    )  # fmt: skip


def _mutated(chance: random.Random, value: Any) -> Any:
    """Return the value with some parts replaced by what does not belong there."""
    if chance.random() < 0.04:
        return chance.choice(
            (None, 1, 1.5, True, "x", "", [], {}, [[]], [None], {"x": 1}, 10**400, "\x00", {"reference": 5})
        )
    if isinstance(value, dict):
        return {_mutated_name(chance, name): _mutated(chance, item) for name, item in value.items()}
    return [_mutated(chance, item) for item in value] if isinstance(value, list) else value


def _mutated_name(chance: random.Random, name: str) -> str:
    return (
        chance.choice(("_" + name, name.upper(), "extension", "id", "resourceType")) if chance.random() < 0.01 else name
    )


SEEDS: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "id": "a",
        "meta": {"tag": [{"system": "urn:t", "code": "x"}]},
        "name": [{"family": "Rossi", "given": ["Ada"], "period": {"start": "2020"}}],
        "birthDate": "1974-12-25",
        "_birthDate": {"extension": [{"url": "http://x", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
        "contact": [{"name": {"family": "B"}}],
        "generalPractitioner": [{"reference": "Practitioner/p"}],
    },
    {
        "resourceType": "Observation",
        "id": "a",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}], "text": "BP"},
        "subject": {"reference": "Patient/a"},
        "effectivePeriod": {"start": "2020-01-01", "end": "2020-02-01T10:00:00Z"},
        "valueQuantity": {"value": 120.5, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"},
        "component": [{"code": {"text": "x"}, "valueString": "y"}],
    },
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
                "resource": {"resourceType": "Patient", "active": True},
                "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=x"},
            },
            {"request": {"method": "GET", "url": "Patient?name=x"}},
            {"request": {"method": "DELETE", "url": "Observation?code=nothing"}},
        ],
    },
    {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}]},
    {"resourceType": "SearchParameter", "id": "a", "url": "http://x/s", "name": "s", "status": "active", "description": "s",
     "code": "s", "base": ["Patient"], "type": "string", "expression": "Patient.name.family"},
]  # fmt: skip


def _body(chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return chance.choice(
            (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"<Patient/>", b"a=b&c", b"[{}]", b"{}" * 2)
        )
    return values.encode(_mutated(chance, chance.choice(SEEDS)))


_HEADERS = {
    "Accept": ("application/fhir+xml", "*/*", "x", "application/fhir+json;q=x", "text/html"),
    "Prefer": ("return=minimal", "handling=strict", ";;", "return=OperationOutcome"),
    "If-Match": ('W/"1"', "*", "x", "W/"),
    "If-None-Match": ("*", 'W/"1"', '"'),
    "If-None-Exist": ("identifier=x", "", "nonsense=1", "name:exact=a", "_has:x"),
    "If-Modified-Since": ("Mon, 01 Jan 2001 00:00:00 GMT", "x"),
    "Content-Type": (
        "application/fhir+xml",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "x",
        "a/b",
    ),
    "Content-Encoding": ("gzip", "zstd", "x"),
}


def _headers(chance: random.Random) -> dict[str, str]:
    return {name: chance.choice(choices) for name, choices in _HEADERS.items() if chance.random() < 0.08}


@pytest.mark.parametrize("seed", range(6))
async def test_no_request_makes_a_fault(client: httpx.AsyncClient, seed: int) -> None:
    """Every answer is below 500, and one that refuses says why in an OperationOutcome."""
    chance = random.Random(seed)
    for resource in SEEDS[:2]:
        await client.put(f"{resource['resourceType']}/a", json=resource)
    for _ in range(REQUESTS):
        method = chance.choice(
            ("GET", "GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
        )
        url = f"{_path(chance)}?{_query(chance)}"
        content = _body(chance) if method in ("POST", "PUT", "PATCH") else None
        answer = await client.request(method, url, content=content, headers=_headers(chance))
        what = f"{method} {url[:300]} {(content or b'')[:2000]!r}: {answer.text[:500]}"
        assert answer.status_code < 500 or answer.status_code == 501, what
        if answer.status_code >= 400 and method != "HEAD":
            assert "OperationOutcome" in answer.text, what
