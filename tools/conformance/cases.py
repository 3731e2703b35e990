"""What both validators judge: official examples, those of the patient summary, and mutants of resources with profiles.

A mutant is a valid resource with one thing changed: an element left out, a code, a unit, a reference or a type that is
another, a member twice. They are made in a fixed order, so that each run judges the same.
"""

from __future__ import annotations

import copy
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from fhir_server.r4 import values
from tools.conformance.packages import resources_of
from tools.fetch_test_data import EXAMPLES_ZIP, FOLDER, IPS

Json = dict[str, Any]

_EACH = 4
_DEFINITIONS = frozenset({
    "Bundle", "CapabilityStatement", "CodeSystem", "ConceptMap", "OperationDefinition", "SearchParameter",
    "StructureDefinition", "ValueSet",
})  # fmt: skip
_LARGEST = 80_000
_MOST_MUTANTS = 12
_HL7 = "http://hl7.org/fhir/StructureDefinition/"

WEIGHT: Json = {
    "resourceType": "Observation",
    "meta": {"profile": [f"{_HL7}bodyweight"]},
    "status": "final",
    "category": [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
    ],
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7", "display": "Body weight"}]},
    "subject": {"reference": "Patient/example"},
    "effectiveDateTime": "2020-01-01",
    "valueQuantity": {"value": 70, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
}


def cases() -> Iterator[tuple[str, Json]]:
    """Yield every case with the name of its file."""
    for name, resource in official_examples():
        yield f"r4-{name}", resource
    for name, resource in summaries():
        yield f"ips-{name}", resource
        yield from _mutants_of(f"mutant-{name}", resource)
    yield from _mutants_of("mutant-weight", WEIGHT)


def official_examples() -> Iterator[tuple[str, Json]]:
    """Yield some official examples of every type, the small ones."""
    archive, taken = zipfile.ZipFile(FOLDER / EXAMPLES_ZIP), Counter[str]()
    for name in sorted(archive.namelist()):
        kind = name.partition("-")[0]
        most = 2 if kind in _DEFINITIONS else _EACH
        if taken[kind] < most and archive.getinfo(name).file_size < _LARGEST:
            taken[kind] += 1
            yield name.removesuffix(".json"), values.decode(archive.read(name))


def summaries() -> Iterator[tuple[str, Json]]:
    """Yield the examples of the International Patient Summary."""
    for name, resource in sorted(resources_of(IPS).items()):
        if name.startswith("example/"):
            yield name.removeprefix("example/").removesuffix(".json"), resource


def _mutants_of(name: str, resource: Json) -> Iterator[tuple[str, Json]]:
    for number, (change, mutant) in enumerate(islice(_changed(resource), _MOST_MUTANTS), 1):
        yield f"{name}-{number}-{change}", mutant


def _changed(resource: Json) -> Iterator[tuple[str, Json]]:
    for element in sorted(resource.keys() - {"resourceType", "id", "meta", "text"}):
        yield f"without-{element}", {key: value for key, value in resource.items() if key != element}
        value = resource[element]
        if isinstance(value, list) and value:
            yield f"twice-{element}", resource | {element: [*value, value[0]]}
        changed = copy.deepcopy(value)
        if _misstate(changed):
            yield f"other-{element}", resource | {element: changed}


def _misstate(value: Any) -> bool:
    """Change the first code or reference below a value; return whether there was one."""
    if isinstance(value, list):
        return any(_misstate(each) for each in value)
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("reference"), str) and "/" in value["reference"]:
        value["reference"] = "Slot/no-such"
        return True
    if isinstance(value.get("code"), str):
        value["code"] = "no-such-code"
        return True
    return any(_misstate(each) for each in value.values())
