"""Nothing is lost on the way from JSON to XML and back."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from lxml import etree

from fhir_server.r4 import values
from fhir_server.r4.definitions import table
from fhir_server.r4.xml import from_xml, to_xml
from tests.samples import official_example, some_official_examples
from tests.unit.r4.generated_resources import resources

# Their JSON is not in the order of the specification, which XML always is.
_OUT_OF_ORDER = {
    "Basic-classModel.json",
    "List-example-double-cousin-relationship.json",
    "Patient-animal.json",
    "PlanDefinition-KDN5.json",
    "RequestGroup-kdn5-example.json",
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(resources())
def test_any_resource_comes_back_byte_for_byte(resource: dict[str, Any]) -> None:
    """A resource in the specification's order is the same JSON text after a trip through XML, indented or not."""
    text = values.encode(resource)
    assert values.encode(from_xml(to_xml(resource), max_depth=100)) == text
    assert values.encode(from_xml(to_xml(resource, pretty=True), max_depth=100)) == text


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(resources(depth=2))
def test_elements_stand_in_the_order_of_the_specification(resource: dict[str, Any]) -> None:
    """Whatever the order of the JSON, the children of the document are in the table's order."""
    shuffled = dict(sorted(resource.items(), reverse=True))
    names = [etree.QName(child).localname for child in etree.fromstring(to_xml(shuffled))]
    order = list(table(resource["resourceType"]).elements)
    assert [order.index(name) for name in names] == sorted(order.index(name) for name in names)


def test_official_examples_come_back() -> None:
    """Each is equal after a trip through XML, each number to its text, in order where it was."""
    for name in some_official_examples():
        resource = values.decode(official_example(name))
        back = from_xml(to_xml(resource), max_depth=100)
        if name in _OUT_OF_ORDER:
            assert _sorted_text(back) == _sorted_text(resource), name
        else:
            assert values.encode(back) == values.encode(resource), name


def _sorted_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted_text(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted_text(item) for item in value]
    return values.encode(value)
