"""FHIRPath Patch: each operation, and each refusal. https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.fhirpath.navigation import type_elements
from fhir_server.r4.patching import fhirpath_patch
from tests.unit.r4.generated_resources import resources

Json = dict[str, Any]


def operation(kind: str, path: str, **parts: Any) -> Json:
    """Return one operation: `value` is a part without its name, `name` a string, the others integers."""
    listed: list[Json] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, part in parts.items():
        if name == "value":
            listed.append({"name": name, **part})
        else:
            listed.append({"name": name, "valueString" if name == "name" else "valueInteger": part})
    return {"name": "operation", "part": listed}


def parameters(*operations: Json) -> Json:
    """Return a patch of the operations."""
    return {"resourceType": "Parameters", "parameter": list(operations)}


def patched(patient: Json, *operations: Json) -> Json:
    """Return the elements of a Patient after a patch, and check that the Patient given is as it was."""
    resource = {"resourceType": "Patient", "id": "p", **patient}
    before = deepcopy(resource)
    result = fhirpath_patch.apply(resource, parameters(*operations))
    assert resource == before
    assert (result.pop("resourceType"), result.pop("id")) == ("Patient", "p")
    return result


_IDENTIFIERS = [{"value": "1"}, {"value": "2"}, {"value": "3"}, {"value": "4"}]


def _order(*operations: Json) -> str:
    return "".join(each["value"] for each in patched({"identifier": _IDENTIFIERS}, *operations)["identifier"])


def test_a_patch_without_operations_changes_nothing() -> None:
    """Parameters without a parameter leave the resource as it is."""
    assert patched({"birthDate": "1920"}) == {"birthDate": "1920"}
    assert fhirpath_patch.apply({"resourceType": "Basic"}, {"resourceType": "Parameters"}) == {"resourceType": "Basic"}


def test_add_sets_an_element_that_is_not_there() -> None:
    """Add gives an element that does not repeat its value, primitive or complex."""
    assert patched({}, operation("add", "Patient", name="birthDate", value={"valueDate": "1930-01-01"})) == {
        "birthDate": "1930-01-01"
    }
    status = {"valueCodeableConcept": {"text": "married"}}
    assert patched({}, operation("add", "Patient", name="maritalStatus", value=status)) == {
        "maritalStatus": {"text": "married"}
    }


def test_add_appends_to_a_list() -> None:
    """Add puts its value at the end of an element that repeats, and starts the list where there is none."""
    add = operation("add", "Patient", name="identifier", value={"valueIdentifier": {"value": "5"}})
    assert patched({}, add) == {"identifier": [{"value": "5"}]}
    assert _order(add) == "12345"


def test_add_reaches_a_nested_element() -> None:
    """Add works on any one element that the path selects."""
    contact = {"contact": [{"name": {"text": "a name"}}]}
    add = operation("add", "Patient.contact[0]", name="gender", value={"valueCode": "male"})
    assert patched(contact, add) == {"contact": [{"name": {"text": "a name"}, "gender": "male"}]}


def test_add_names_the_property_of_a_choice_by_the_type_of_the_value() -> None:
    """For a choice element, the name is the bare one and the value decides the property."""
    add = operation("add", "Patient", name="deceased", value={"valueDateTime": "2020"})
    assert patched({}, add) == {"deceasedDateTime": "2020"}
    add = operation("add", "Patient", name="deceasedBoolean", value={"valueBoolean": True})
    assert patched({}, add) == {"deceasedBoolean": True}


def test_add_brings_the_extensions_of_a_primitive() -> None:
    """A value's own id and extensions come with it."""
    value = {"valueDate": "1930", "_valueDate": {"id": "x"}}
    assert patched({}, operation("add", "Patient", name="birthDate", value=value)) == {
        "birthDate": "1930",
        "_birthDate": {"id": "x"},
    }
    only = {"_valueString": {"id": "x"}}
    assert patched({"name": [{"given": ["a"]}]}, operation("add", "Patient.name", name="given", value=only)) == {
        "name": [{"given": ["a", None], "_given": [None, {"id": "x"}]}]
    }


def test_add_puts_an_extension_on_a_primitive() -> None:
    """The path may select a primitive, whose extensions and id can be added to."""
    parts = [{"name": "url", "valueUri": "http://x"}, {"name": "value", "valueString": "y"}]
    add = operation("add", "Patient.birthDate", name="extension", value={"part": parts})
    extension = {"extension": [{"url": "http://x", "valueString": "y"}]}
    assert patched({"birthDate": "1920"}, add) == {"birthDate": "1920", "_birthDate": extension}
    add = operation("add", "Patient.name.given[1]", name="extension", value={"part": parts})
    assert patched({"name": [{"given": ["a", "b"]}]}, add) == {
        "name": [{"given": ["a", "b"], "_given": [None, extension]}]
    }


def test_a_value_of_an_anonymous_type_is_given_as_parts() -> None:
    """A backbone, or a type that has no value[x], is built from nested parts; repeated names make a list."""
    parts = [
        {"name": "name", "valueHumanName": {"text": "a name"}},
        {"name": "telecom", "valueContactPoint": {"value": "1"}},
        {"name": "telecom", "valueContactPoint": {"value": "2"}},
    ]
    assert patched({}, operation("add", "Patient", name="contact", value={"part": parts})) == {
        "contact": [{"name": {"text": "a name"}, "telecom": [{"value": "1"}, {"value": "2"}]}]
    }


def test_parts_may_be_nested() -> None:
    """Within the parts of an anonymous type, another one is given as parts again."""
    questionnaire = {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "group"}]}
    inner = [{"name": "linkId", "valueString": "1.1.1"}, {"name": "type", "valueCode": "string"}]
    parts = [
        {"name": "linkId", "valueString": "1.1"},
        {"name": "type", "valueCode": "group"},
        {"name": "item", "part": inner},
    ]
    add = operation("add", "Questionnaire.item.where(linkId = '1')", name="item", value={"part": parts})
    assert fhirpath_patch.apply(questionnaire, parameters(add))["item"][0]["item"] == [
        {"linkId": "1.1", "type": "group", "item": [{"linkId": "1.1.1", "type": "string"}]}
    ]


def test_a_resource_can_be_added() -> None:
    """A part's resource becomes a contained resource or the resource of an entry."""
    add = operation("add", "Patient", name="contained", value={"resource": {"resourceType": "Basic", "id": "b"}})
    assert patched({}, add) == {"contained": [{"resourceType": "Basic", "id": "b"}]}


@pytest.mark.parametrize(("index", "order"), [(0, "x1234"), (1, "1x234"), (4, "1234x")])
def test_insert_puts_a_value_into_a_list_at_an_index(index: int, order: str) -> None:
    """Insert moves what stands at the index and after it; the length of the list is the last index."""
    insert = operation("insert", "Patient.identifier", index=index, value={"valueIdentifier": {"value": "x"}})
    assert _order(insert) == order


def test_insert_starts_a_list() -> None:
    """Index 0 of a list that is not there makes it."""
    insert = operation("insert", "identifier", index=0, value={"valueIdentifier": {"value": "x"}})
    assert patched({}, insert) == {"identifier": [{"value": "x"}]}


def test_insert_keeps_primitives_and_their_extensions_in_step() -> None:
    """In a list of primitives the extensions move with their values."""
    name = {"name": [{"given": ["a", "b"], "_given": [None, {"id": "of b"}]}]}
    insert = operation("insert", "Patient.name.given", index=0, value={"valueString": "z"})
    assert patched(name, insert) == {"name": [{"given": ["z", "a", "b"], "_given": [None, None, {"id": "of b"}]}]}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("Patient.birthDate", {"contact": [{"name": {"text": "a"}, "gender": "male"}]}),
        ("Patient.contact[0].gender", {"birthDate": "1920", "contact": [{"name": {"text": "a"}}]}),
        ("Patient.contact[0].name.text", {"birthDate": "1920", "contact": [{"gender": "male"}]}),
        ("Patient.contact.name", {"birthDate": "1920", "contact": [{"gender": "male"}]}),
        ("Patient.contact", {"birthDate": "1920"}),
    ],
)
def test_delete_removes_an_element_and_what_it_leaves_empty(path: str, left: Json) -> None:
    """Delete removes the one element at the path; an object that would be empty goes with it."""
    patient = {"birthDate": "1920", "contact": [{"name": {"text": "a"}, "gender": "male"}]}
    assert patched(patient, operation("delete", path)) == left


@pytest.mark.parametrize(("index", "order"), [(0, "234"), (1, "134"), (3, "123")])
def test_delete_closes_the_gap_in_a_list(index: int, order: str) -> None:
    """Deleting from a list moves the rest up."""
    assert _order(operation("delete", f"Patient.identifier[{index}]")) == order


def test_delete_of_what_is_not_there_does_nothing() -> None:
    """A path that selects nothing leaves nothing to delete."""
    assert patched({"active": True}, operation("delete", "Patient.birthDate")) == {"active": True}


def test_delete_removes_an_extension_of_a_primitive() -> None:
    """Deleting the last extension of a primitive leaves its value, and of one without value nothing."""
    delete = operation("delete", "Patient.birthDate.extension('u')")
    extension = {"extension": [{"url": "u", "valueString": "x"}]}
    assert patched({"birthDate": "1920", "_birthDate": extension}, delete) == {"birthDate": "1920"}
    assert patched({"active": True, "_birthDate": extension}, delete) == {"active": True}
    form = {"name": [{"given": ["a", "b"], "_given": [extension, {"id": "b"}]}]}
    assert patched(form, operation("delete", "Patient.name.given.extension('u')")) == {
        "name": [{"given": ["a", "b"], "_given": [None, {"id": "b"}]}]
    }


def test_delete_selects_a_primitive_in_a_list_by_its_value() -> None:
    """A filter may pick one of several primitives, and its extensions go with it."""
    name = {"name": [{"given": ["a", "b", "c"], "_given": [None, {"id": "of b"}, {"id": "of c"}]}]}
    assert patched(name, operation("delete", "Patient.name.given.where($this = 'b')")) == {
        "name": [{"given": ["a", "c"], "_given": [None, {"id": "of c"}]}]
    }


def test_replace_changes_a_value() -> None:
    """Replace gives one element another value of its type, primitive or complex, nested or in a list."""
    assert patched({"birthDate": "1920"}, operation("replace", "Patient.birthDate", value={"valueDate": "1930"})) == {
        "birthDate": "1930"
    }
    assert patched({"active": True}, operation("replace", "Patient.active", value={"valueBoolean": False})) == {
        "active": False
    }
    new = {"valueIdentifier": {"value": "x"}}
    assert _order(operation("replace", "Patient.identifier[1]", value=new)) == "1x34"
    assert _order(operation("replace", "Patient.identifier.last()", value=new)) == "123x"
    value = {"valueString": "y"}
    assert _order(operation("replace", "Patient.identifier.where(value = '3').value", value=value)) == "12y4"


def test_replace_drops_the_extensions_of_the_old_value() -> None:
    """What belonged to the old value is gone with it."""
    patient = {"birthDate": "1920", "_birthDate": {"id": "old"}}
    assert patched(patient, operation("replace", "Patient.birthDate", value={"valueDate": "1930"})) == {
        "birthDate": "1930"
    }


def test_replace_may_change_the_type_of_a_choice() -> None:
    """A choice element takes a value of any of its types, and has one property afterwards, in its place."""
    patient = {"birthDate": "1920", "deceasedBoolean": True, "multipleBirthInteger": 2}
    result = patched(patient, operation("replace", "Patient.deceased", value={"valueDateTime": "2000"}))
    assert list(result.items()) == [("birthDate", "1920"), ("deceasedDateTime", "2000"), ("multipleBirthInteger", 2)]


def test_replace_takes_a_narrative_as_a_string() -> None:
    """The div of a narrative, for which value[x] has no type, is given as a string."""
    text = {"text": {"status": "generated", "div": "<div>a</div>"}}
    replace = operation("replace", "Patient.text.div", value={"valueString": "<div>b</div>"})
    assert patched(text, replace) == {"text": {"status": "generated", "div": "<div>b</div>"}}


def test_replace_keeps_the_text_of_decimals() -> None:
    """A decimal in a patch, or elsewhere in the resource, is written as it came."""
    observation = values.decode(b'{"resourceType":"Observation","valueQuantity":{"value":1.0,"unit":"x"}}')
    value = values.decode(b'{"valueDecimal":0.0000001}')
    result = fhirpath_patch.apply(observation, parameters(operation("replace", "Observation.value.value", value=value)))
    assert values.encode(result["valueQuantity"]) == b'{"value":0.0000001,"unit":"x"}'


@pytest.mark.parametrize(
    ("moves", "order"),
    [
        ([(3, 1)], "1423"),
        ([(3, 0)], "4123"),
        ([(3, 2)], "1243"),
        ([(0, 3)], "2341"),
        ([(1, 0), (2, 1)], "2314"),
        ([(3, 0), (3, 1), (3, 2)], "4321"),
        ([(2, 2)], "1234"),
    ],
)
def test_move_reorders_a_list(moves: list[tuple[int, int]], order: str) -> None:
    """Move takes an element out of its list and puts it in at an index of the list that remains."""
    listed = [operation("move", "Patient.identifier", source=source, destination=to) for source, to in moves]
    assert _order(*listed) == order


def test_move_takes_the_extensions_along() -> None:
    """In a list of primitives the extensions move with their values."""
    name = {"name": [{"given": ["a", "b"], "_given": [None, {"id": "of b"}]}]}
    assert patched(name, operation("move", "Patient.name.given", source=1, destination=0)) == {
        "name": [{"given": ["b", "a"], "_given": [{"id": "of b"}, None]}]
    }


def test_a_contained_resource_is_part_of_the_resource() -> None:
    """A path may go into contained resources, also by resolving a reference to one."""
    patient = {
        "contained": [{"resourceType": "Organization", "id": "o", "name": "a"}],
        "managingOrganization": {"reference": "#o"},
    }
    replace = operation("replace", "Patient.managingOrganization.resolve().name", value={"valueString": "b"})
    assert patched(patient, replace)["contained"][0]["name"] == "b"


def test_an_element_named_like_the_type_of_a_resource_can_be_replaced() -> None:
    """`ExampleScenario.instance.resourceType` is an element like any other."""
    scenario = {"resourceType": "ExampleScenario", "instance": [{"resourceId": "i", "resourceType": "Patient"}]}
    replace = operation("replace", "ExampleScenario.instance.resourceType", value={"valueCode": "Person"})
    assert fhirpath_patch.apply(scenario, parameters(replace))["instance"] == [
        {"resourceId": "i", "resourceType": "Person"}
    ]


_FULL = {
    "birthDate": "1920",
    "active": True,
    "deceasedBoolean": False,
    "identifier": _IDENTIFIERS,
    "contact": [{"gender": "male"}, {"gender": "female"}],
    "managingOrganization": {"reference": "Organization/1"},
}


@pytest.mark.parametrize(
    ("refused", "fault"),
    [
        (operation("add", "Patient", name="birthDate", value={"valueDate": "1930"}), "already"),
        (operation("add", "Patient", name="deceased", value={"valueDateTime": "1930"}), "already"),
        (operation("add", "Patient", name="nonsense", value={"valueDate": "1930"}), "no element"),
        (operation("add", "Patient", name="gender", value={"valueInteger": 1}), "takes code"),
        (operation("add", "Patient", name="multipleBirth", value={"valueString": "1"}), "takes boolean or integer"),
        (operation("add", "Patient", name="contact", value={"valueString": "1"}), "takes Patient.contact"),
        (operation("add", "Patient", name="contact", value={"part": []}), "empty"),
        (operation("add", "Patient", name="contact", value={"part": [{"name": "x", "valueCode": "y"}]}), "no element"),
        (operation("add", "Patient", name="contact", value={"part": [{"valueCode": "y"}]}), "name"),
        (
            operation(
                "add",
                "Patient",
                name="contact",
                value={"part": [{"name": "gender", "valueCode": "male"}, {"name": "gender", "valueCode": "male"}]},
            ),
            "already",
        ),
        (operation("add", "Patient", name="gender", value={"part": [{"name": "x", "valueCode": "y"}]}), "parts"),
        (operation("add", "Patient", name="gender", value={"valueCode": "male", "valueString": "y"}), "one value"),
        (operation("add", "Patient", name="gender", value={}), "one value"),
        (operation("add", "Patient.name", name="family", value={"valueString": "x"}), "0 elements"),
        (operation("add", "Patient.contact", name="name", value={"valueHumanName": {"text": "x"}}), "2 elements"),
        (operation("add", "Patient.birthDate.exists()", name="id", value={"valueString": "x"}), "not select"),
        (operation("insert", "Patient.identifier", index=5, value={"valueIdentifier": {}}), "no index 5"),
        (operation("insert", "Patient.identifier", index=-1, value={"valueIdentifier": {}}), "no index -1"),
        (operation("insert", "Patient.identifier[0]", index=0, value={"valueIdentifier": {}}), "name a list"),
        (operation("insert", "Patient.birthDate", index=0, value={"valueDate": "1930"}), "not a list"),
        (operation("insert", "Patient.contact.telecom", index=0, value={"valueContactPoint": {}}), "2 elements"),
        (operation("insert", "Patient.identifier", index=0, value={"valueString": "x"}), "takes Identifier"),
        (operation("delete", "Patient.identifier"), "4 elements"),
        (operation("delete", "Patient"), "itself"),
        (operation("delete", "Patient.identifier.count()"), "not select"),
        (operation("delete", "'Patient'"), "not select"),
        (operation("replace", "Patient.gender", value={"valueCode": "male"}), "0 elements"),
        (operation("replace", "Patient.identifier", value={"valueIdentifier": {}}), "4 elements"),
        (operation("replace", "Patient.birthDate", value={"valueString": "1930"}), "takes date"),
        (operation("replace", "Patient", value={"resource": {"resourceType": "Patient"}}), "itself"),
        (operation("replace", "Patient.managingOrganization.resolve().name", value={"valueString": "x"}), "0 elements"),
        (operation("replace", "Patient.id", value={"valueId": "q"}), "id"),
        (operation("delete", "Patient.id"), "id"),
        (operation("move", "Patient.identifier", source=4, destination=0), "no index 4"),
        (operation("move", "Patient.identifier", source=0, destination=4), "no index 4"),
        (operation("move", "Patient.photo", source=0, destination=0), "no index 0"),
        (operation("move", "Patient.active", source=0, destination=0), "not a list"),
        (operation("delete", "Patient.frobnicate()"), "not supported"),
        (operation("delete", "Patient.identifier.where("), "Unexpected"),
        (operation("delete", "Patient.identifier.where(value.matches('(a+)+$'))"), "cannot stand"),
        (operation("delete", "Patient" + ".identifier" * 500), "too long"),
    ],
)
def test_an_operation_that_does_not_fit_is_unprocessable(refused: Json, fault: str) -> None:
    """What the resource does not allow is refused with the operation's place, and nothing is changed."""
    with pytest.raises(Unprocessable) as error:
        patched(_FULL, operation("delete", "Patient.active"), refused)
    issue = error.value.issues[0]
    assert fault in issue.diagnostics
    assert issue.expression == ("Patient.id",) or issue.expression[0].startswith("Parameters.parameter[1]")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"resourceType": "Patient"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": ["x"]},
        {"resourceType": "Parameters", "parameter": [{"name": "x"}]},
        parameters({"name": "operation"}),
        parameters({"name": "operation", "part": ["x"]}),
        parameters({"name": "operation", "part": [{"valueCode": "delete"}]}),
        parameters(operation("frobnicate", "Patient")),
        parameters(operation("delete", "")),
        parameters(operation("delete", "Patient.name", name="x")),
        parameters(operation("delete", "Patient.name", value={"valueString": "x"})),
        parameters(operation("add", "Patient", name="gender")),
        parameters(operation("add", "Patient", value={"valueCode": "male"})),
        parameters(operation("insert", "Patient.name", value={"valueCode": "male"})),
        parameters(operation("insert", "Patient.name", index="0", value={"valueHumanName": {}})),
        parameters(operation("insert", "Patient.name", index=True, value={"valueHumanName": {}})),
        parameters(operation("replace", "Patient.name")),
        parameters(operation("move", "Patient.name", source=0)),
        parameters({"name": "operation", "part": operation("delete", "Patient.name")["part"] * 2}),
        parameters(
            {"name": "operation", "part": [{"name": "type", "valueCode": 5}, {"name": "path", "valueString": "a"}]}
        ),
    ],
)
def test_what_is_no_fhirpath_patch_is_a_bad_request(body: Any) -> None:
    """Parameters that are not operations with the parts of their type are refused as malformed."""
    with pytest.raises(BadRequest):
        fhirpath_patch.apply({"resourceType": "Patient", "id": "p"}, body)


def test_a_patch_that_looks_at_too_much_is_refused() -> None:
    """Many operations on a large resource are cut off instead of keeping the server busy."""
    resource = {"resourceType": "List", "id": "l", "entry": [{"item": {"reference": "Patient/1"}}] * 2_000}
    with pytest.raises(Unprocessable) as refused:
        fhirpath_patch.apply(resource, parameters(*[operation("delete", "List.entry[0].flag")] * 50))
    assert refused.value.issues[0].code == "too-costly"


@settings(deadline=None)
@given(resources(), st.data())
def test_deleting_any_element_removes_it_and_nothing_else(resource: Json, data: st.DataObject) -> None:
    """For each property of any resource, deleting its first element leaves the others, and no empty array or object."""
    resource["id"] = "x"
    names = [name for name in type_elements(resource["resourceType"]) if name in resource and name != "id"]
    assume(names)
    name = data.draw(st.sampled_from(names))
    element = type_elements(resource["resourceType"])[name]
    path = f"{resource['resourceType']}.{element.choice or name}.first()"
    result = fhirpath_patch.apply(resource, parameters(operation("delete", path)))
    rest = {key: value for key, value in resource.items() if key.removeprefix("_") != name}
    assert rest.items() <= result.items()
    for key in (name, f"_{name}"):
        expected = resource[key][1:] if isinstance(resource.get(key), list) else None
        has_content = bool(expected) and any(each is not None for each in expected or ())
        assert result.get(key) == (expected if has_content else None)
