"""Small code systems with a hierarchy, drawn at random, and what a test asks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import terminology
from terminology import Coding, ExpandRequest, LayeredSource, Limits, MemorySource, Options, ValidateRequest

Json = dict[str, Any]
SYSTEM = "http://example.org/system"
VALUE_SET = "http://example.org/value-set"
WORDS = ["heart", "lung", "left", "right", "disease", "Entzündung"]


@st.composite
def code_systems(draw: st.DrawFn, *, url: str = SYSTEM, version: str | None = "1.0.0") -> Json:
    """Return a CodeSystem whose concepts may have several parents, properties, and be inactive or abstract."""
    size = draw(st.integers(1, 12))
    concepts = []
    for index in range(size):
        parents = draw(st.lists(st.integers(0, index - 1), max_size=2, unique=True)) if index else []
        properties: list[Json] = [{"code": "parent", "valueCode": f"c{each}"} for each in parents]
        properties.append({"code": "kind", "valueCode": draw(st.sampled_from("xyz"))})
        if draw(st.booleans()):
            properties.append({"code": "inactive", "valueBoolean": True})
        display = " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)))
        concepts.append({"code": f"c{index}", "display": display, "property": properties})
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "version": version,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "hierarchyMeaning": "is-a",
        "property": [{"code": "kind", "type": "code"}, {"code": "parent", "type": "code"}],
        "concept": concepts,
    }


def codes_of(system: Json) -> list[str]:
    """Return the codes of a CodeSystem."""
    return [each["code"] for each in system["concept"]]


@st.composite
def parts(draw: st.DrawFn, system: Json) -> Json:
    """Return an include of the code system."""
    codes = st.sampled_from(codes_of(system))
    part: Json = {"system": SYSTEM}
    kind = draw(st.sampled_from(["whole", "concepts", "is-a", "descendent-of", "kind", "is-not-a", "both"]))
    if kind == "concepts":
        part["concept"] = [{"code": code} for code in draw(st.lists(codes, min_size=1, unique=True))]
    elif kind == "kind":
        part["filter"] = [{"property": "kind", "op": "in", "value": draw(st.sampled_from(["x", "y,z", "w"]))}]
    elif kind != "whole":
        operators = [kind] if kind != "both" else ["is-a", "is-not-a"]
        part["filter"] = [{"property": "concept", "op": each, "value": draw(codes)} for each in operators]
    return part


@st.composite
def value_sets(draw: st.DrawFn, system: Json) -> Json:
    """Return a ValueSet of some includes and excludes."""
    compose: Json = {"include": draw(st.lists(parts(system), min_size=1, max_size=3))}
    if draw(st.booleans()):
        compose["exclude"] = draw(st.lists(parts(system), min_size=1, max_size=2))
    inactive = draw(st.sampled_from([None, True, False]))
    if inactive is not None:
        compose["inactive"] = inactive
    return {"resourceType": "ValueSet", "url": VALUE_SET, "status": "active", "compose": compose}


def source_of(*resources: Json) -> LayeredSource:
    """Return a source with the resources."""
    return LayeredSource(MemorySource(), MemorySource(resources))


def expanded(source: terminology.Source, value_set: Json, change: Callable[[Options], None] | None = None) -> list[str]:
    """Return the codes of an expansion, in its order."""
    request = ExpandRequest(resource=value_set, options=Options(exclude_nested=True))
    if change:
        change(request.options)
    return [entry.code for entry in terminology.expand(request, source, Limits(codes=100_000)).entries()]


def is_valid(source: terminology.Source, value_set: Json, code: str) -> bool:
    """Return whether a code is in a value set, by validation."""
    request = ValidateRequest([Coding(SYSTEM, None, code)], resource=value_set)
    return terminology.validate_in_value_set(request, source).valid
