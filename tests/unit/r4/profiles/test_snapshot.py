"""Snapshots are those that HL7 published, in everything that a resource can break."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fhir_server.r4.official import official_resource, official_urls
from fhir_server.r4.profiles.definitions import STRUCTURES, LayeredDefinitions, OfficialDefinitions
from fhir_server.r4.profiles.snapshot import SnapshotError, generate_snapshot
from tests.unit.r4.profiles.guides import GuideDefinitions
from tools.fetch_test_data import EXTENSIONS, IPS

Json = dict[str, Any]

EXPLAINED = {
    "bp": "published without the slices by type that its differential names, unlike the other vital signs",
    "catalog": "published with the slices of an extension behind other elements",
    "cholesterol": "published with the invariants of SimpleQuantity repeated; they are checked by the type's profile",
    "elementdefinition-de": "published with children of an extension that the differential does not go into",
    "familymemberhistory-genetic": "published without most of the elements of its base",
    "hdlcholesterol": "as cholesterol",
    "ldlcholesterol": "as cholesterol",
    "provenance-relevant-history": "published with a content reference to a slice, and another binding than it states",
    "address-official": "published with a binding that neither its differential nor its base has",
    "artifactassessment-content": "its differential is published with a choice that was a content reference",
    "no-fixed-address": "published with the slices of a choice closed, which the differential does not say",
    "quantity-accuracy": "as bp",
    "quantity-confidenceInterval": "as bp",
    "structuredefinition-fhir-type": "published without the binding that its differential states",
}
"""The profiles whose published snapshots do not follow from their differentials, each with its reason."""


def core_profiles() -> list[Json]:
    structures = [official_resource("StructureDefinition", url) for url in official_urls("StructureDefinition")]
    return [each for each in structures if each and each.get("derivation") == "constraint" and "snapshot" in each]


def differing(profiles: list[Json], definitions: LayeredDefinitions) -> list[str]:
    return [
        each["id"]
        for each in profiles
        if rules(generate_snapshot(each, definitions)) != rules(each["snapshot"]["element"])
    ]


def rules(elements: list[Json]) -> list[tuple[str, Json]]:
    """Return what the elements demand, in their order."""
    rows = {each["id"]: demanded(each) for each in elements}
    for each in elements:
        sliced = rows.get(each["id"].rpartition(":")[0], {})
        if "sliceName" in each and "/" not in each["sliceName"]:
            sliced["least"] = sliced.get("least", 0) + each["min"]
    for row in rows.values():
        # HL7's later publishers raise the minimum of what is sliced to the sum of its slices'.
        row["min"] = max(row["min"], row.pop("least", 0))
    return list(rows.items())


VALUES = re.compile(r"(fixed|pattern|minValue|maxValue)[A-Z]|min$|max$|sliceName$|maxLength$|path$").match


def demanded(element: Json) -> Json:
    row = {name: value for name, value in element.items() if VALUES(name)}
    row |= {name: True for name in ("mustSupport", "isModifier") if element.get(name)}
    row["type"] = [types(each) for each in element.get("type", ())]
    if "binding" in element:
        row["binding"] = (element["binding"]["strength"], unversioned(element["binding"].get("valueSet", "")))
    row["constraint"] = sorted(
        (each["key"], each["severity"], each.get("expression", "")) for each in element.get("constraint", ())
    )
    if "slicing" in element:
        slicing = element["slicing"]
        discriminators = sorted((each["type"], each["path"]) for each in slicing.get("discriminator", ()))
        row["slicing"] = (discriminators, slicing["rules"], slicing.get("ordered", False))
    if "contentReference" in element:
        row["contentReference"] = element["contentReference"].rpartition("#")[2]
    return row


def types(type_: Json) -> tuple[Any, ...]:
    canonicals = ([unversioned(each) for each in type_.get(name, ())] for name in ("profile", "targetProfile"))
    return type_["code"], *canonicals, type_.get("aggregation"), type_.get("versioning")


def unversioned(canonical: str) -> str:
    return canonical.partition("|")[0]


def test_core_profiles_are_as_published() -> None:
    """Of R4's 439 profiles and extensions, all but those explained."""
    definitions = LayeredDefinitions(OfficialDefinitions())
    profiles = core_profiles()
    assert len(profiles) == 439
    assert set(differing(profiles, definitions)) == {each["id"] for each in profiles} & EXPLAINED.keys() - {
        "quantity-accuracy", "quantity-confidenceInterval", "address-official", "structuredefinition-fhir-type"
    }  # fmt: skip


def test_guides_are_as_published() -> None:
    """Of the patient summary's profiles all, of HL7's 680 extensions for R4 all but those explained."""
    summary, extensions = GuideDefinitions(IPS), GuideDefinitions(EXTENSIONS)
    definitions = LayeredDefinitions(OfficialDefinitions(), summary, extensions)
    profiles = [each for each in summary if each["derivation"] == "constraint"]
    assert (len(profiles), differing(profiles, definitions)) == (29, [])
    assert (len(list(extensions)), set(differing(list(extensions), definitions))) == (
        680,
        {
            "address-official",
            "artifactassessment-content",
            "no-fixed-address",
            "quantity-accuracy",
            "quantity-confidenceInterval",
            "structuredefinition-fhir-type",
        },
    )


def profile(**more: Any) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/p",
        "type": "Patient",
        "baseDefinition": STRUCTURES + "Patient",
        "derivation": "constraint",
        **more,
    }


def element_ids(*differential: Json) -> dict[str, Json]:
    structure = profile(differential={"element": [{"path": "Patient"}, *differential]})
    return {each["id"]: each for each in generate_snapshot(structure, OfficialDefinitions())}


def test_what_is_not_r4_is_refused_by_name() -> None:
    """A profile of R5 is not read as if it were one of R4."""
    with pytest.raises(SnapshotError, match=r"http://example.org/p is published for FHIR 5.0.0"):
        generate_snapshot(profile(fhirVersion="5.0.0"), OfficialDefinitions())


def test_an_unknown_base_is_named() -> None:
    """So that one sees what is to be installed."""
    with pytest.raises(SnapshotError, match=r"built on http://example.org/base, which is not known"):
        generate_snapshot(profile(baseDefinition="http://example.org/base"), OfficialDefinitions())


def test_a_ring_of_bases_ends() -> None:
    """A profile built on itself is refused."""

    class Ring:
        def structure(self, url: str, version: str | None = None) -> Json:
            return profile(url=url, baseDefinition="http://example.org/p")

    with pytest.raises(SnapshotError, match="built upon itself"):
        generate_snapshot(profile(baseDefinition="http://example.org/p"), Ring())


def test_an_element_that_the_base_lacks_is_refused() -> None:
    """Nothing is passed over."""
    with pytest.raises(SnapshotError, match="has an element weight that Patient does not have"):
        element_ids({"path": "Patient.weight", "min": 1})


BY_SYSTEM = [{"type": "value", "path": "system"}]


def test_reslices_stand_behind_the_slice_that_they_slice() -> None:
    """A slice of a slice begins as that slice."""
    elements = element_ids(
        {"path": "Patient.identifier", "slicing": {"discriminator": BY_SYSTEM, "rules": "open"}},
        {"path": "Patient.identifier", "sliceName": "a", "max": "3", "mustSupport": True},
        {"path": "Patient.identifier", "sliceName": "b"},
        {"path": "Patient.identifier", "sliceName": "a/one", "min": 1},
    )  # fmt: skip
    names = [each for each in elements if each.startswith("Patient.identifier:")]
    assert names == ["Patient.identifier:a", "Patient.identifier:a/one", "Patient.identifier:b"]
    assert elements["Patient.identifier:a/one"]["mustSupport"]
    assert elements["Patient.identifier:a/one"]["max"] == "3"


def test_content_references_get_the_children_of_what_they_refer_to() -> None:
    """A profile can go into what is defined elsewhere in the type."""
    structure = profile(
        type="Questionnaire",
        baseDefinition=STRUCTURES + "Questionnaire",
        differential={"element": [{"path": "Questionnaire.item.item.linkId", "maxLength": 5}]},
    )
    elements = {each["id"]: each for each in generate_snapshot(structure, OfficialDefinitions())}
    assert elements["Questionnaire.item.item.linkId"]["maxLength"] == 5
    assert elements["Questionnaire.item.item.item"]["contentReference"] == "#Questionnaire.item"
