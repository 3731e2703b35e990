"""The data of a run: invented patients with observations, the same in every run, and bundles of records."""

from __future__ import annotations

import gzip
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Connection, Target

SYSTEM = "https://bench.example.org/patient"
CODES = ("8480-6", "8867-4", "29463-7", "8302-2")
READINGS = 25
"""Observations of the first code that each observed patient has: more than a page."""
SYLLABLES = ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu", "an", "el", "or", "da", "fi")

Json = dict[str, Any]


def patient(number: int, run: str) -> Json:
    """Return the patient of a number; `run` keeps the identifiers of runs apart."""
    chance = random.Random(number)
    family, given = (("".join(chance.choices(SYLLABLES, k=3))).capitalize() for _ in range(2))
    return {
        "resourceType": "Patient",
        "identifier": [{"system": SYSTEM, "value": f"{run}-{number}"}],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given, given[:1]]}],
        "telecom": [{"system": "phone", "value": f"+1 555 {number:07d}", "use": "home"}],
        "gender": chance.choice(("male", "female")),
        "birthDate": f"{chance.randint(1930, 2019)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
        "address": [
            {"line": [f"{number} Long Street"], "city": family + "ton", "postalCode": "12345", "country": "US"}
        ],
        "maritalStatus": {"text": "unknown"},
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}],
    }


def observation(subject: str, number: int) -> Json:
    """Return the observation of a number of a patient."""
    code = CODES[0] if number < READINGS else CODES[1 + number % 3]
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": "A reading"}], "text": "A reading"},
        "subject": {"reference": subject},
        "effectiveDateTime": f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}T08:30:00Z",
        "valueQuantity": {"value": 60 + number, "unit": "u", "system": "http://unitsofmeasure.org", "code": "1"},
    }


def record(number: int, run: str, size: int = 60) -> Json:
    """Return a transaction bundle: a patient and the patient's observations."""
    url = f"urn:uuid:{uuid.uuid4()}"
    resources = [(url, patient(number, run))]
    resources += [(f"urn:uuid:{uuid.uuid4()}", observation(url, index)) for index in range(size)]
    return _transaction(resources)


def bundles(folder: Path | None, run: str) -> list[tuple[bytes, int]]:
    """Return transaction bundles with their number of entries: those in a folder (also gzipped), else invented ones."""
    if folder is None:
        return [_encoded(record(10_000_000 + number, run)) for number in range(40)]
    return [_encoded(json.loads(_read(path))) for path in sorted(folder.rglob("*.json*"))[:60]]


@dataclass
class Corpus:
    """What has been loaded: the ids that the server gave."""

    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    patients: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)

    async def load(self, target: Target, count: int, observed: int) -> int:
        """Store patients, the first of them with observations; returns how many resources these are.

        Raises RuntimeError when the server refuses.
        """
        connection = Connection(target)
        for start in range(0, count, 200):
            numbers = range(start, min(start + 200, count))
            resources = [(f"urn:uuid:{uuid.uuid4()}", patient(number, self.run)) for number in numbers]
            self.patients += await _store(connection, target, resources)
        self.observed = self.patients[:observed]
        for name in self.observed:
            readings = [
                (f"urn:uuid:{uuid.uuid4()}", observation(f"Patient/{name}", number)) for number in range(READINGS + 10)
            ]
            await _store(connection, target, readings)
        connection.close()
        return count + len(self.observed) * (READINGS + 10)

    async def age(self, target: Target, versions: int = 5) -> list[str]:
        """Give twenty patients a history of so many versions; returns their ids."""
        connection, names = Connection(target), self.patients[-20:]
        for version in range(2, versions + 1):
            for name in names:
                changed = patient(len(self.patients) - 1, self.run) | {"id": name, "multipleBirthInteger": version}
                await connection.send(target.request("PUT", f"Patient/{name}", json.dumps(changed).encode()))
        connection.close()
        return names


def numbers(start: int = 1_000_000) -> Iterator[int]:
    """Return numbers that no loaded patient has."""
    while True:
        yield start
        start += 1


async def _store(connection: Connection, target: Target, resources: list[tuple[str, Json]]) -> list[str]:
    body, _ = _encoded(_transaction(resources))
    reply = await connection.send(target.request("POST", "", body))
    if reply.status != 200:
        raise RuntimeError(f"The server refused a transaction: {reply.status} {reply.body[:500]!r}")
    locations = [entry["response"]["location"] for entry in json.loads(reply.body)["entry"]]
    return [location.partition("/_history")[0].rpartition("/")[2] for location in locations]


def _transaction(resources: list[tuple[str, Json]]) -> Json:
    entries = [
        {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
        for url, resource in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _encoded(bundle: Json) -> tuple[bytes, int]:
    return json.dumps(bundle, separators=(",", ":")).encode(), len(bundle["entry"])


def _read(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
