"""The compiled package says what the official one says."""

from __future__ import annotations

import gzip
from importlib.resources import files

import pytest

from fhir_server.r4.definitions import (
    RESOURCE_TYPES,
    TABLE_NAMES,
    code_set,
    compartment,
    operations,
    search_parameters,
    table,
)
from tools.value_set_codes import ValueSets


def test_resource_types_are_the_146_concrete_ones() -> None:
    """R4 has 146 resource types that can be stored; Resource and DomainResource are abstract."""
    assert len(RESOURCE_TYPES) == 146
    assert {"Patient", "Parameters", "Binary", "MedicinalProduct"} <= RESOURCE_TYPES
    assert not {"Resource", "DomainResource", "Element", "HumanName"} & RESOURCE_TYPES


def test_a_table_keeps_the_order_of_the_specification() -> None:
    """The elements of a table stand in the order of the StructureDefinition, choices expanded in place."""
    names = list(table("Observation").elements)
    assert names[:9] == [
        "id",
        "meta",
        "implicitRules",
        "language",
        "text",
        "contained",
        "extension",
        "modifierExtension",
        "identifier",
    ]
    first = names.index("valueQuantity")
    assert names[first : first + 3] == ["valueQuantity", "valueCodeableConcept", "valueString"]
    assert names[first - 1] == "performer"


def test_an_unknown_table_is_a_key_error() -> None:
    """A name that R4 does not have raises KeyError."""
    with pytest.raises(KeyError):
        table("Patients")


def test_every_element_has_a_type_with_a_table() -> None:
    """Each element's type, backbones and contentReferences included, is the name of a table."""
    missing = {
        (name, element.name, element.type)
        for name in TABLE_NAMES
        for element in table(name).elements.values()
        if element.type not in TABLE_NAMES
    }
    assert missing == set()


def test_kinds_and_bases() -> None:
    """A table knows what kind of type it is and which type it specialises."""
    kinds = {name: (table(name).kind, table(name).base) for name in ("Patient", "Age", "Patient.contact", "url")}
    assert kinds == {
        "Patient": ("resource", "DomainResource"),
        "Age": ("datatype", "Quantity"),
        "Patient.contact": ("backbone", "BackboneElement"),
        "url": ("primitive", "uri"),
    }


def test_a_content_reference_names_the_backbone_it_repeats() -> None:
    """Observation.component.referenceRange is the backbone Observation.referenceRange."""
    assert table("Observation.component").elements["referenceRange"].type == "Observation.referenceRange"
    assert table("Questionnaire.item").elements["item"].type == "Questionnaire.item"


def test_an_element_tells_what_json_and_xml_need() -> None:
    """Cardinality, primitiveness, XML attributes, summary, modifiers, choices and targets are those of the package."""
    patient, extension = table("Patient").elements, table("Extension").elements
    assert (patient["name"].many, patient["birthDate"].many) == (True, False)
    assert (patient["birthDate"].primitive, patient["name"].primitive) == (True, False)
    assert (extension["url"].attribute, extension["valueUri"].attribute) == (True, False)
    assert (patient["active"].modifier, patient["active"].summary, patient["photo"].summary) == (True, True, False)
    assert patient["deceasedBoolean"].choice == "deceased"
    assert patient["deceasedBoolean"].path == "Patient.deceased[x]"
    assert patient["managingOrganization"].targets == ("Organization",)
    assert table("Observation").elements["status"].min == 1


def test_a_logical_id_is_of_type_id_and_an_element_id_is_not() -> None:
    """Resource.id has the rules of the datatype id; Element.id is a string in an XML attribute."""
    assert table("Patient").elements["id"].type == "id"
    assert not table("Patient").elements["id"].attribute
    assert table("HumanName").elements["id"].type == "string"
    assert table("HumanName").elements["id"].attribute


def test_codes_of_required_bindings_are_enumerated() -> None:
    """A required binding on a code lists its codes; on a CodeableConcept it lists system|code."""
    assert table("Patient").elements["gender"].codes == frozenset(("male", "female", "other", "unknown"))
    clinical = table("Condition").elements["clinicalStatus"].codes
    assert clinical is not None
    assert "http://terminology.hl7.org/CodeSystem/condition-clinical|active" in clinical


def test_codes_that_others_keep_are_open() -> None:
    """A value set that the package cannot enumerate, such as media types, allows any code."""
    assert table("Attachment").elements["contentType"].codes is None
    assert code_set("currencies") is None


def test_invariants_of_an_element_are_those_beyond_its_type() -> None:
    """SimpleQuantity adds sqty-1 to the elements that demand it; qty-3 stands on Quantity itself."""
    dose = table("Dosage").elements["maxDosePerAdministration"]
    assert [each.key for each in dose.invariants] == ["sqty-1"]
    assert "qty-3" in {each.key for each in table("Quantity").invariants}


def test_search_parameters_are_those_of_the_specification() -> None:
    """The package's 25 example parameters are left out, so 1,375 remain, each with a canonical URL of its own."""
    parameters = search_parameters()
    assert len(parameters) == len({each.url for each in parameters}) == 1375
    by_url = {each.url: each for each in parameters}
    family = by_url["http://hl7.org/fhir/SearchParameter/individual-family"]
    assert (family.code, family.type, family.base) == ("family", "string", ("Patient", "Practitioner"))
    composite = by_url["http://hl7.org/fhir/SearchParameter/Observation-code-value-quantity"]
    assert [part.expression for part in composite.component] == ["code", "value.as(Quantity)"]
    assert all(part.definition in by_url for each in parameters for part in each.component)


def test_compartments_name_parameters_that_exist() -> None:
    """Each parameter of a compartment is one of its resource type; `_id` stands for the focus itself."""
    codes = {(base, each.code) for each in search_parameters() for base in each.base}
    for name in ("Patient", "Encounter", "Practitioner", "RelatedPerson", "Device"):
        for member, parameters in compartment(name).items():
            assert all((member, code) in codes or code == "_id" for code in parameters), (name, member)
    assert compartment("Patient")["Observation"] == ("subject", "performer")
    assert compartment("Patient")["Patient"] == ("link",)
    assert compartment("Practitioner")["Practitioner"] == ("_id",)
    with pytest.raises(KeyError):
        compartment("Organization")


def test_operations_tell_where_they_can_be_called() -> None:
    """An operation has its levels and parameters."""
    assert len(operations()) == 46
    (everything,) = [each for each in operations() if each.url.endswith("/Patient-everything")]
    assert (everything.system, everything.type, everything.instance) == (False, True, True)
    assert [each.name for each in everything.parameter if each.use == "in"] == [
        "start",
        "end",
        "_since",
        "_type",
        "_count",
    ]


def test_the_data_files_carry_no_time() -> None:
    """Compiling again gives the same bytes: no gzip header holds a time or the name of a system."""
    for file in files("fhir_server.r4").joinpath("data").iterdir():
        if not file.name.endswith(".gz"):
            continue
        packed = file.read_bytes()
        assert packed[4:8] == bytes(4), file.name
        assert packed[9] == 255, file.name
        assert gzip.decompress(packed), file.name


def test_a_value_set_is_the_union_of_includes_less_its_excludes() -> None:
    """Includes add up, parts of one include intersect, excludes take away, and a foreign code system leaves it open."""
    system = {"url": "s", "content": "complete", "concept": [{"code": "a", "concept": [{"code": "b"}]}, {"code": "c"}]}
    whole = {
        "url": "v/whole",
        "compose": {"include": [{"system": "s"}], "exclude": [{"system": "s", "concept": [{"code": "c"}]}]},
    }
    part = {
        "url": "v/part",
        "compose": {"include": [{"system": "s", "concept": [{"code": "b"}], "valueSet": ["v/whole"]}]},
    }
    foreign = {"url": "v/foreign", "compose": {"include": [{"system": "elsewhere"}]}}
    sets = ValueSets([whole, part, foreign], [system])
    names = [sets.use(url, with_system=False) for url in ("v/whole|4.0.1", "v/part", "v/foreign", "v/none")]
    assert names == ["whole", "part", "foreign", "none"]
    assert sets.used() == {"whole": ["a", "b"], "part": ["b"]}
