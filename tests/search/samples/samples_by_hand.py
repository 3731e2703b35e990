"""Matching and other resources for the few parameters whose expressions are no plain paths."""

from __future__ import annotations

from typing import Any

from tests.search.samples.sample_resources import Case

Resource = dict[str, Any]


def _located(latitude: float, longitude: float) -> Resource:
    return {"resourceType": "Location", "position": {"latitude": latitude, "longitude": longitude}}


def _sequence(chromosome: str, start: int, **reference: Any) -> Resource:
    concept = {"coding": [{"system": "urn:system", "code": chromosome}]}
    named: Resource = {"referenceSeqId": concept} if reference else {"chromosome": concept, "genomeBuild": "GRCh 37"}
    return {
        "resourceType": "MolecularSequence",
        "coordinateSystem": 0,
        "referenceSeq": {"windowStart": 1, "windowEnd": 9, **named},
        "variant": [{"start": start, "end": start + 1}],
    }


def _bundle(kind: str, first: Resource) -> Resource:
    other = {"resourceType": "Basic", "id": "match", "code": {"text": "x"}}
    return {
        "resourceType": "Bundle",
        "type": kind,
        "timestamp": "2001-03-01T10:00:00Z",
        "identifier": {"system": "urn:system", "value": "filler"},
        "entry": [
            {"fullUrl": f"https://example.org/{first['resourceType']}/{first['id']}", "resource": first},
            {"fullUrl": "https://example.org/Basic/match", "resource": other},
        ],
    }


def _document(name: str) -> Resource:
    return _bundle(
        "document",
        {
            "resourceType": "Composition",
            "id": name,
            "status": "final",
            "type": {"text": "x"},
            "date": "2001",
            "author": [{"reference": "Practitioner/filler"}],
            "title": "x",
        },
    )


def _message(name: str) -> Resource:
    header = {
        "resourceType": "MessageHeader",
        "id": name,
        "eventUri": "https://example.org/x",
        "source": {"endpoint": "https://example.org/x"},
    }
    return _bundle("message", header)


def _related(code: str, target: str) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"title": "x"}}],
        "relatesTo": [{"code": code, "target": {"reference": f"DocumentReference/{target}"}}],
    }


CASES: dict[tuple[str, str], list[Case]] = {
    ("Patient", "deceased"): [
        Case("deceased", "true", {"resourceType": "Patient", "deceasedBoolean": True}, {"resourceType": "Patient"}),
        Case(
            "deceased",
            "true",
            {"resourceType": "Patient", "deceasedDateTime": "2020"},
            {"resourceType": "Patient", "deceasedBoolean": False},
        ),
        Case("deceased", "false", {"resourceType": "Patient"}, {"resourceType": "Patient", "deceasedDateTime": "2020"}),
    ],
    ("Location", "near"): [
        Case("near", "51.5|-0.12|10|km", _located(51.53, -0.1), _located(51.7, -0.12)),
        Case("near", "51.5|-0.12|10|[mi_us]", _located(51.62, -0.12), _located(52, -0.12)),
        Case("near", "0|179.99|5|km", _located(0, -179.99), _located(0, 179.9)),
    ],
    ("Bundle", "composition"): [Case("composition", "Composition/match", _document("match"), _document("other"))],
    ("Bundle", "message"): [Case("message", "MessageHeader/match", _message("match"), _message("other"))],
    # The published definition says of the code that it is a reference, and of the reference that it is a token.
    ("DocumentReference", "relationship"): [
        Case(
            "relationship", "appends$DocumentReference/match", _related("appends", "match"), _related("signs", "match")
        ),
        Case("relationship", "appends$DocumentReference/match", _related("appends", "match"), _related("appends", "x")),
    ],
    ("MolecularSequence", "chromosome"): [Case("chromosome", "urn:system|X", _sequence("X", 5), _sequence("Y", 5))],
    ("MolecularSequence", "chromosome-window-coordinate"): [
        Case("chromosome-window-coordinate", "urn:system|X$1$9", _sequence("X", 5), _sequence("Y", 5)),
    ],
    ("MolecularSequence", "chromosome-variant-coordinate"): [
        Case("chromosome-variant-coordinate", "urn:system|X$7$8", _sequence("X", 7), _sequence("X", 6)),
        Case("chromosome-variant-coordinate", "X$gt5$lt9", _sequence("X", 7), _sequence("X", 3)),
    ],
    ("MolecularSequence", "referenceseqid-variant-coordinate"): [
        Case("referenceseqid-variant-coordinate", "urn:system|X$7$8", _sequence("X", 7, id=1), _sequence("Z", 7, id=1)),
    ],
}
