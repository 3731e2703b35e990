"""resolve() within a Bundle: the rules of https://hl7.org/fhir/R4/bundle.html#references, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import references

A, B = "http://a.example/fhir", "http://b.example/fhir"
URN = "urn:uuid:04121321-4af5-424c-a0e1-ed3aab1c349d"


def _patient(name: str, resource_id: str | None = None, version: str | None = None) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        **({"id": resource_id} if resource_id else {}),
        **({"meta": {"versionId": version}} if version else {}),
        "name": [{"text": name}],
    }


PATIENTS: list[dict[str, Any]] = [
    {"fullUrl": f"{A}/Patient/1", "resource": _patient("one at a", "1")},
    {"fullUrl": f"{B}/Patient/1", "resource": _patient("one at b", "1")},
    {"fullUrl": f"{A}/Patient/2", "resource": _patient("two at a", "2", "5")},
    {"fullUrl": f"{B}/Patient/3", "resource": _patient("old", "3", "1")},
    {"fullUrl": f"{B}/Patient/3", "resource": _patient("new", "3", "2")},
    {"fullUrl": URN, "resource": _patient("by urn", "7")},
    {"resource": _patient("without a URL", "9")},
    {"request": {"method": "DELETE", "url": "Patient/10"}},
]


def _names(reference: str, full_url: str | None) -> list[str]:
    """Return the names of what an Observation's subject resolves to, where the entry has that fullUrl."""
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": reference}}
    entry = {"resource": observation, **({"fullUrl": full_url} if full_url else {})}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*PATIENTS, entry]}
    expression = fhirpath.compile("Bundle.entry.resource.ofType(Observation).subject.resolve().name.text")
    within = fhirpath.compile("Observation.subject.resolve().name.text")
    items = [item.value for item in expression.items(bundle, "Bundle")]
    assert [item.value for item in within.items(observation, "Observation", root=bundle)] == items
    return items


@pytest.mark.parametrize(
    ("reference", "full_url", "expected"),
    [
        # A relative reference is below the base of its own entry's fullUrl, whatever else has that type and id.
        ("Patient/1", f"{A}/Observation/o", ["one at a"]),
        ("Patient/1", f"{B}/Observation/o", ["one at b"]),
        ("Patient/2", f"{A}/Observation/o", ["two at a"]),
        ("Patient/2", f"{B}/Observation/o", []),
        ("Patient/1", "http://c.example/fhir/Observation/o", []),
        # Where the fullUrl is no RESTful URL, it has no meaning within the Bundle.
        ("Patient/1", "urn:uuid:00000000-0000-4000-8000-000000000000", []),
        ("Patient/7", URN, []),
        ("Patient/1", f"{A}/Observation/o/_history/1", []),
        ("Patient/1", f"{A}/o", []),
        # Entries without a URL go by type and id among one another.
        ("Patient/9", None, ["without a URL"]),
        ("Patient/1", None, []),
        ("Patient/9", f"{A}/Observation/o", []),
        # An absolute one is a fullUrl, from any entry.
        (f"{B}/Patient/1", f"{A}/Observation/o", ["one at b"]),
        (f"{B}/Patient/1", None, ["one at b"]),
        (URN, f"{A}/Observation/o", ["by urn"]),
        (URN, None, ["by urn"]),
        # A version is matched with meta.versionId.
        ("Patient/2/_history/5", f"{A}/Observation/o", ["two at a"]),
        ("Patient/2/_history/4", f"{A}/Observation/o", []),
        (f"{B}/Patient/3/_history/1", f"{A}/Observation/o", ["old"]),
        (f"{B}/Patient/3/_history/2", f"{A}/Observation/o", ["new"]),
        # Several matches are none.
        ("Patient/3", f"{B}/Observation/o", []),
        # What is no literal reference names nothing.
        ("1", f"{A}/Observation/o", []),
        ("Patient/1/$everything", f"{A}/Observation/o", []),
        ("Patient/1?x", f"{A}/Observation/o", []),
        ("Patient/1#x", f"{A}/Observation/o", []),
        ("foo/Patient/1", f"{A}/Observation/o", []),
        (f"{A}/Patient/1/_history/1/_history/2", f"{A}/Observation/o", []),
        (f"{URN}#x", f"{A}/Observation/o", []),
        ("Patient/10", None, []),
    ],
)
def test_a_reference_within_a_bundle(reference: str, full_url: str | None, expected: list[str]) -> None:
    """A reference resolves to the one entry that the specification's rules lead to, or to none."""
    assert _names(reference, full_url) == expected


def test_the_entries_of_a_bundle_are_gathered_once_an_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many references an expression resolves, each entry is looked at once."""
    looked: list[int] = []
    original = references._objects
    monkeypatch.setattr(references, "_objects", lambda resource: looked.append(1) or original(resource))

    def looks(size: int) -> int:
        looked.clear()
        entries = [
            {
                "fullUrl": f"{A}/Patient/{at}",
                "resource": {
                    "resourceType": "Patient",
                    "id": str(at),
                    "link": [{"other": {"reference": f"Patient/{(at + 1) % size}"}}],
                },
            }
            for at in range(size)
        ]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        result = fhirpath.compile("Bundle.entry.resource.link.other.resolve()").items(bundle, "Bundle")
        assert len(result) == size
        return len(looked)

    assert looks(200) == 200
