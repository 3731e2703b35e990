"""Requests to the terminology operations and to `$validate`: small ones about much."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from bench.attack_inputs import Attack

_URL = "http://example.org/codes"
_SET = "http://example.org/set"
Json = dict[str, Any]


def attacks_on_definitions() -> Iterator[Attack]:
    """Yield all requests."""
    yield from _expansions()
    yield from _validations()
    yield from _others()
    yield from _profiles()


def _parameters(*parts: Json) -> bytes:
    return json.dumps({"resourceType": "Parameters", "parameter": parts}, separators=(",", ":")).encode()


def _resource(resource: Json) -> Json:
    return {"name": "tx-resource", "resource": resource}


def _post(name: str, path: str, *parts: Json) -> Attack:
    return Attack(f"terminology: {name}", "POST", path, _parameters(*parts))


def _codes(number: int, **more: Any) -> Json:
    concepts = [{"code": f"c{at}", "display": f"d {at}", **more} for at in range(number)]
    return _system(concepts)


def _system(concepts: Iterable[Json]) -> Json:
    return {"resourceType": "CodeSystem", "url": _URL, "status": "active", "content": "complete", "concept": concepts}


def _layers(layers: int, wide: int) -> Json:
    """Return a code system in which each code has all codes of the layer above as parents."""
    concepts = []
    for layer in range(layers):
        above = [{"code": "parent", "valueCode": f"{layer - 1}.{at}"} for at in range(wide) if layer]
        concepts += [{"code": f"{layer}.{at}", **({"property": above} if above else {})} for at in range(wide)]
    return {**_system(concepts), "property": [{"code": "parent", "type": "code"}]}


def _chain(length: int) -> Json:
    concepts = [
        {"code": f"c{at}", **({"property": [{"code": "parent", "valueCode": f"c{at - 1}"}]} if at else {})}
        for at in range(length)
    ]
    return {**_system(concepts), "property": [{"code": "parent", "type": "code"}]}


def _value_set(url: str = _SET, **compose: Any) -> Json:
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": compose}


def _expanded(value_set: Json, *resources: Json, **more: Json) -> list[Json]:
    return [{"name": "valueSet", "resource": value_set}, *map(_resource, resources), *more.values()]


def _expansions() -> Iterator[Attack]:
    path, one_page = "ValueSet/$expand", {"name": "count", "valueInteger": 10}
    every = _value_set(include=[{"system": _URL}])
    yield _post("expand many codes", path, *_expanded(every, _codes(20_000)), one_page)
    yield _post("expand a chain", path, *_expanded(every, _chain(10_000)), one_page)
    yield _post("expand layers", path, *_expanded(every, _layers(60, 20)), one_page)
    filters = [{"property": "concept", "op": "is-a", "value": f"{at}.0"} for at in range(50)]
    narrowed = _value_set(include=[{"system": _URL, "filter": filters}])
    yield _post("expand layers by filters", path, *_expanded(narrowed, _layers(60, 20)), one_page)
    patterns = [{"property": "code", "op": "regex", "value": "(a|c|c?)*[0-9]*x?" * 20}] * 100
    matched = _value_set(include=[{"system": _URL, "filter": patterns}])
    yield _post("expand by patterns", path, *_expanded(matched, _codes(8000)), one_page)
    singly = [{"system": _URL, "concept": [{"code": f"c{at}"}]} for at in range(8000)]
    yield _post("expand many excludes", path, *_expanded(_value_set(include=[{"system": _URL}], exclude=singly)),
                _resource(_codes(4000)), one_page)  # fmt: skip
    yield _post("expand many includes", path, *_expanded(_value_set(include=singly)), _resource(_codes(4000)), one_page)
    whole = [{"system": _URL}] * 10_000
    yield _post("expand one system often", path, *_expanded(_value_set(include=whole)), _resource(_codes(4000)),
                one_page)  # fmt: skip
    nested = [_value_set(f"{_SET}{at}", include=[{"valueSet": [f"{_SET}{at + 1}"]}] * 3) for at in range(40)]
    yield _post("expand nested sets", path, *_expanded(nested[0], *nested[1:]),
                _resource(_value_set(f"{_SET}40", include=[{"system": _URL}])), _resource(_codes(100)))  # fmt: skip
    text = {"name": "filter", "valueString": " ".join(f"word{at}" for at in range(20_000))}
    yield _post("expand by a long text", path, *_expanded(every, _codes(8000)), text)
    named = [{"name": "designation", "valueString": f"lang{at}"} for at in range(1900)]
    many_named = _codes(3000, designation=[{"language": "de", "value": "x"}] * 3)
    yield _post("expand with designations", path, *_expanded(every, many_named), *named,
                {"name": "includeDesignations", "valueBoolean": True}, one_page)  # fmt: skip
    official = [{"valueSet": ["http://hl7.org/fhir/ValueSet/all-types"]}] * 3000
    yield _post("expand R4's own often", path, *_expanded(_value_set(include=official)), one_page)
    acts = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    below = [{"property": "concept", "op": "is-a", "value": "_ActEncounterCode"}] * 100
    yield _post("expand R4's own by filters", path, *_expanded(_value_set(include=[{"system": acts, "filter": below}]
                * 100)), one_page)  # fmt: skip
    contains: Json = {"system": _URL, "code": "x"}
    for at in range(300):
        contains = {"system": _URL, "code": f"x{at}", "contains": [contains]}
    stored = {
        **_value_set(include=[{"system": _URL}]),
        "expansion": {"timestamp": "2020-01-01", "contains": [contains]},
    }
    yield _post("expand a deep expansion", path, *_expanded(stored))


def _validations() -> Iterator[Attack]:
    path = "ValueSet/$validate-code"
    codings = [{"system": _URL, "code": f"c{at}", "display": "x"} for at in range(1000)]
    concept = {"name": "codeableConcept", "valueCodeableConcept": {"coding": codings}}
    every = _value_set(include=[{"system": _URL}])
    yield _post("validate many codings", path, *_expanded(every, _codes(8000)), concept)
    singly = [{"system": _URL, "concept": [{"code": f"c{at}"}]} for at in range(4000)]
    excluding = _value_set(include=[{"system": _URL}], exclude=singly)
    yield _post("validate in excludes", path, *_expanded(excluding, _codes(6000)), concept)
    yield _post("validate in layers", path, concept, *_expanded(
        _value_set(include=[{"system": _URL, "filter": [{"property": "concept", "op": "is-a", "value": "0.0"}]}] * 500),
        _layers(60, 20)))  # fmt: skip
    code = {"name": "coding", "valueCoding": {"system": _URL, "code": "c1"}}
    asked = {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": _SET}, code]}
    several = [{"name": "validation", "resource": asked}] * 1990
    yield _post("validate a batch", "ValueSet/$batch-validate-code", _resource(_codes(4000)), _resource(excluding),
                *several)  # fmt: skip
    displays = [{"language": f"l{at}", "value": "x"} for at in range(20_000)]
    yield _post("validate a display", path, *_expanded(every, _system([{"code": "c1", "designation": displays}])),
                {"name": "coding", "valueCoding": {"system": _URL, "code": "c1", "display": "y"}})  # fmt: skip
    unknown = [{"system": f"http://example.org/{at}", "code": "a"} for at in range(1000)]
    yield _post("validate of unknown systems", path, *_expanded(every, _codes(10)),
                {"name": "codeableConcept", "valueCodeableConcept": {"coding": unknown}})  # fmt: skip


def _others() -> Iterator[Attack]:
    targets = [{"code": f"t{at}", "equivalence": "equal"} for at in range(5000)]
    group = {"source": _URL, "target": "urn:x", "element": [{"code": "c1", "target": targets}]}
    mapping = {"resourceType": "ConceptMap", "url": "http://example.org/map", "status": "active", "group": [group] * 3}
    codings = [{"system": _URL, "code": "c1"}] * 1000
    yield _post("translate many codings", "ConceptMap/$translate", {"name": "conceptMap", "resource": mapping},
                {"name": "codeableConcept", "valueCodeableConcept": {"coding": codings}})  # fmt: skip
    properties = [
        {
            "name": "property",
            "part": [{"name": "code", "valueCode": "display"}, {"name": "value", "valueString": "d 1"}],
        }
    ] * 500
    yield _post("find matches", "CodeSystem/$find-matches", _resource(_codes(8000)), *properties,
                {"name": "system", "valueUri": _URL}, {"name": "exact", "valueBoolean": False})  # fmt: skip
    wanted = [{"name": "property", "valueCode": f"p{at}"} for at in range(1900)]
    described = _system([{"code": "c1", "property": [{"code": "p1", "valueString": "x"}] * 10_000}])
    yield _post("look up", "CodeSystem/$lookup", _resource(described), *wanted,
                {"name": "system", "valueUri": _URL}, {"name": "code", "valueCode": "c1"})  # fmt: skip
    yield _post("subsumes in layers", "CodeSystem/$subsumes", _resource(_layers(80, 20)),
                {"name": "system", "valueUri": _URL}, {"name": "codeA", "valueCode": "0.0"},
                {"name": "codeB", "valueCode": "79.0"})  # fmt: skip
    concepts = [
        {"name": "concept", "valueCoding": {"system": _URL, "code": f"{at // 20}.{at % 20}"}} for at in range(1000)
    ]
    yield _post("a closure", "$closure", {"name": "name", "valueString": "k"})
    yield _post("a closure of layers", "$closure", {"name": "name", "valueString": "k"}, _resource(_layers(60, 20)),
                *concepts)  # fmt: skip


def _profile(name: str, elements: list[Json], resource_type: str = "Observation") -> Attack:
    url = f"http://example.org/StructureDefinition/{name}"
    definition = {
        "resourceType": "StructureDefinition", "id": name, "url": url, "name": "P", "status": "active",
        "kind": "resource", "abstract": False, "type": resource_type, "derivation": "constraint",
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{resource_type}",
        "differential": {"element": [{"id": resource_type, "path": resource_type}, *elements]},
    }  # fmt: skip
    body = json.dumps(definition, separators=(",", ":")).encode()
    return Attack(f"profile stored: {name}", "PUT", f"StructureDefinition/{name}", body)


def _profiles() -> Iterator[Attack]:
    observation = {
        "resourceType": "Observation", "status": "final", "code": {"text": "x"},
        "component": [{"code": {"text": f"c{at}"}, "valueString": "a" * 32 + "!"} for at in range(3000)],
    }  # fmt: skip
    body = json.dumps(observation, separators=(",", ":")).encode()

    def invariant(number: int, expression: str) -> Json:
        return {"key": f"x-{number}", "severity": "error", "human": "x", "expression": expression}

    product = "%resource.descendants().select(%resource.descendants().count() > 0).allTrue()"
    costly = [invariant(0, product), invariant(1, "value.toString().matches('^(a|a)*$')")]
    constraints = [{"id": "Observation.component", "path": "Observation.component", "constraint": costly}]
    many = [{"id": "Observation.component", "path": "Observation.component",
             "constraint": [invariant(at, "%resource.descendants().count() > 0") for at in range(3000)]}]  # fmt: skip
    slicing = {"id": "Observation.component", "path": "Observation.component", "slicing": {
        "discriminator": [{"type": "value", "path": "code.text"}], "rules": "open"}}  # fmt: skip
    slices: list[Json] = [slicing]
    for at in range(1500):
        slices.append({"id": f"Observation.component:s{at}", "path": "Observation.component", "sliceName": f"s{at}"})
        slices.append({"id": f"Observation.component:s{at}.code.text", "path": "Observation.component.code.text",
                       "fixedString": f"s{at}"})  # fmt: skip
    deep = "Observation.component.code" + ".extension" * 60
    wide = [{"id": deep[: len("Observation.component.code") + 10 * at], "path":
             deep[: len("Observation.component.code") + 10 * at], "min": 0} for at in range(1, 60)]  # fmt: skip
    itself = "http://example.org/StructureDefinition/cycle"
    discriminators = [{"type": "profile", "path": "resolve()"}, {"type": "exists", "path": "extension('x').value"}]
    slicing_by_all = {"discriminator": discriminators, "rules": "open"}
    to_itself = {"code": "Reference", "targetProfile": [itself]}
    cycle = [
        {"id": "Observation.extension", "path": "Observation.extension", "slicing": slicing_by_all},
        {"id": "Observation.hasMember", "path": "Observation.hasMember", "type": [to_itself]},
        {"id": "Observation.contained", "path": "Observation.contained",
         "type": [{"code": "Observation", "profile": [itself]}]},
    ]  # fmt: skip
    for name, elements in (
        ("costly", constraints),
        ("many", many),
        ("slices", slices),
        ("deep", wide),
        ("cycle", cycle),
    ):
        yield _profile(name, elements)
        url = quote(f"http://example.org/StructureDefinition/{name}", safe="")
        yield Attack(f"profile: {name}", "POST", f"Observation/$validate?profile={url}", body)
    contained = {**observation, "component": [], "contained": [
        {**observation, "component": [], "id": f"o{at}", "hasMember": [{"reference": f"#o{(at + each) % 2000}"}
         for each in range(1, 4)]} for at in range(2000)], "hasMember": [{"reference": "#o0"}]}  # fmt: skip
    url = quote("http://example.org/StructureDefinition/cycle", safe="")
    yield Attack("profile: a cycle of contained", "POST", f"Observation/$validate?profile={url}",
                 json.dumps(contained, separators=(",", ":")).encode())  # fmt: skip
    claimed = {
        **observation,
        "component": [],
        "meta": {"profile": [f"http://example.org/{at}" for at in range(15_000)]},
    }
    yield Attack("profile: many claimed", "POST", "Observation/$validate", json.dumps(claimed).encode())
