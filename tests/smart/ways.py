"""Every way into the server's records that patient A might try to learn something of patient B's by."""

from __future__ import annotations

from typing import Any, NamedTuple

from fhir_server.r4.definitions import compartment
from tests.smart.two_patients import MIXED, SECRET, resources_of
from tests.smart_server import BASE


class Way(NamedTuple):
    """One way in: the interaction or operation, and the request."""

    interaction: str
    method: str
    url: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


B = [(one["resourceType"], one["id"]) for one in (*resources_of("b"), *MIXED)]
OBSERVATION = "Observation/b-observation-subject-0"
PATCH = (("Content-Type", "application/json-patch+json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
LATER = (("Prefer", "respond-async"),)


def _observation(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **changes}


def _bundle(kind: str, *requests: tuple[str, str, Any]) -> dict[str, Any]:
    entries = [
        {"request": {"method": method, "url": url}, **({"resource": body} if body else {})}
        for method, url, body in requests
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


_TO_B = {"subject": {"reference": "Patient/b"}}
_TO_A = {"subject": {"reference": "Patient/a"}}
_PARAMETERS = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}

_BINARY_OF_B = {
    "resourceType": "Parameters",
    "parameter": [{"name": "input", "part": [{"name": "url", "valueUrl": "Binary/b-binary"}]}],
}
_PATIENT_B = {
    "resourceType": "Parameters",
    "parameter": [{"name": "patient", "valueReference": {"reference": "Patient/b"}}],
}


def _view(resource_type: str, *more: dict[str, Any]) -> dict[str, Any]:
    column = {"name": "all", "path": "descendants().where($this is string or $this is id)", "collection": True}
    definition = {
        "resourceType": "ViewDefinition",
        "resource": resource_type,
        "select": [{"column": [{"name": "key", "path": "getResourceKey()"}, column]}],
    }
    return {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": definition}, *more]}


_UNKNOWN_WORK = "_async/0190a0a0-0000-7000-8000-000000000000"
_GENDERS = "http://hl7.org/fhir/administrative-gender"
_TERMINOLOGY = [
    "$versions",
    "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender",
    "ValueSet/b/$expand",
    "ValueSet/$validate-code?url=http://hl7.org/fhir/ValueSet/administrative-gender&code=male",
    f"CodeSystem/$lookup?system={_GENDERS}&code=male",
    f"CodeSystem/$subsumes?system={_GENDERS}&codeA=male&codeB=female",
    f"CodeSystem/$find-matches?system={_GENDERS}",
    f"ConceptMap/$translate?system={_GENDERS}&code=male",
]

_GRAPHS = [
    ("", "{ Patient(id: b) { id birthDate } }"),
    ("", "{ PatientList { id name { family } } ObservationList(subject: b) { id } }"),
    ("", "{ PatientConnection { count offset edges { resource { id } } } }"),
    ("", "{ CoverageList { subscriber { reference resource(optional: true) { id } } } }"),
    ("", '{ ObservationList(_filter: "subject eq Patient/b") { id } }'),
    ("Patient/b/", "{ id }"),
    ("Patient/a/", "{ ObservationConnection(_reference: subject) { count edges { resource { id } } } }"),
    ("Patient/a/", "{ ListList(_reference: item) { id } GroupList(_reference: member) { id } }"),
    (
        "Observation/a-pointing/",
        "{ hasMember { reference resource(optional: true) { id } } subject { resource { id } } }",
    ),
    ("Observation/a-pointing/", "{ hasMember { resource { id } } }"),
    (f"{OBSERVATION}/", "{ status }"),
]
"""What might be asked of $graphql, and where."""

READS = [Way("read", "GET", f"{kind}/{resource_id}") for kind, resource_id in B]
VREADS = [Way("vread", "GET", f"{kind}/{i}/_history/{n}") for kind, i in B for n in (1, 2)]
HISTORIES = [Way("history-instance", "GET", f"{kind}/{resource_id}/_history") for kind, resource_id in B]
SEARCHES = [
    Way("search-type", "GET", f"{kind}?{query}")
    for kind in sorted({"Patient", "Binary", "Device", "AuditEvent", *compartment("Patient")})
    for query in ("_count=1000", "_summary=count", "_total=accurate&_count=1", "_sort=-_lastUpdated&_count=1000")
]

EACH_RESOURCE = [*READS, *VREADS, *HISTORIES, *SEARCHES]
"""Each of B's resources, and each type that one could be of."""

WAYS = [
    Way("read", "HEAD", "Patient/b"),
    Way("read", "GET", "Patient/b?_format=xml"),
    Way("read", "GET", "Patient/b", None, (("If-None-Match", 'W/"2"'),)),
    Way("read", "GET", "Patient/b", None, (("If-Modified-Since", "Fri, 31 Dec 2100 00:00:00 GMT"),)),
    Way("read", "GET", "Binary/b-binary", None, (("Accept", "text/plain"),)),
    Way("read", "GET", "Patient/b", None, (("X-HTTP-Method-Override", "DELETE"),)),
    Way("history-type", "GET", "Observation/_history?_count=1000"),
    Way("history-type", "GET", "Patient/_history?_at=2026"),
    Way("history-type", "GET", "Observation/_history?_count=1"),
    Way("history-type", "GET", "Observation/_history?_summary=count&_at=2026"),
    Way("history-system", "GET", "_history?_count=1000"),
    Way("history-system", "GET", "_history?_summary=count&_since=2000"),
    Way("search-type", "GET", "Observation?subject=Patient/b"),
    Way("search-type", "GET", "Observation?subject=b"),
    Way("search-type", "GET", f"Observation?subject={BASE}/Patient/b"),
    Way("search-type", "GET", "Observation?subject=Patient/a,Patient/b"),
    Way("search-type", "GET", "Observation?patient=b&patient=a"),
    Way("search-type", "GET", "Observation?subject:Patient=b"),
    Way("search-type", "GET", "Observation?subject:not=Patient/a"),
    Way("search-type", "GET", "Observation?subject:missing=false&_total=accurate"),
    Way("search-type", "GET", "Observation?patient[$ne]=a"),
    Way("search-type", "GET", "Observation?_id=b-observation-subject-0"),
    Way("search-type", "GET", f"Observation?_tag=urn:tag|{SECRET}-tag"),
    Way("search-type", "GET", "Observation?value-quantity=gt80"),
    Way("search-type", "GET", f"Patient?family={SECRET}"),
    Way("search-type", "GET", "Patient?identifier:missing=false"),
    Way("search-type", "GET", "Patient?birthdate=lt1985"),
    Way("search-type", "GET", "Observation?_filter=subject eq Patient/b"),
    Way("search-type", "GET", f"Observation?_list={SECRET}-list"),
    Way("search-type", "GET", "Observation?focus=Patient/a"),
    # Chains: A's resource must not be found by a property of B's.
    Way("search-type", "GET", f"Coverage?subscriber:Patient.family={SECRET}"),
    Way("search-type", "GET", "Coverage?subscriber:Patient.birthdate=lt1985"),
    Way("search-type", "GET", "Observation?has-member:Observation.value-quantity=gt80"),
    Way("search-type", "GET", f"Observation?has-member:Observation.subject:Patient.family={SECRET}"),
    Way("search-type", "GET", f"Observation?subject:Group._id={SECRET}-group"),
    Way("search-type", "GET", "Bundle?composition.patient=Patient/b"),
    Way("search-type", "GET", f"Bundle?composition.subject:Patient.family={SECRET}"),
    # _has: nor by what of B's refers to it.
    Way("search-type", "GET", "Patient?_has:Observation:focus:status=final"),
    Way("search-type", "GET", "Patient?_has:Group:member:_id:missing=false"),
    Way("search-type", "GET", f"Patient?_has:Group:member:_id={SECRET}-group"),
    Way("search-type", "GET", f"Patient?_has:Patient:link:_id={SECRET}-link"),
    Way("search-type", "GET", f"Observation?_has:List:item:_id={SECRET}-list"),
    # Sorting, by a chain too.
    Way("search-type", "GET", "Observation?_sort=subject:Patient.family"),
    Way("search-type", "GET", "Coverage?_sort=subscriber:Patient.family"),
    Way("search-type", "GET", "Coverage?_sort=-subscriber:Patient.birthdate"),
    # Includes.
    Way("search-type", "GET", "Coverage?_include=Coverage:subscriber"),
    Way("search-type", "GET", "Coverage?_include=Coverage:subscriber:Patient&_include=*"),
    Way("search-type", "GET", "Observation?_include=Observation:has-member&_include:iterate=Observation:subject"),
    Way("search-type", "GET", "Observation?_include=*"),
    Way("search-type", "GET", "Patient?_revinclude=Observation:focus"),
    Way("search-type", "GET", "Patient?_revinclude=Group:member"),
    Way("search-type", "GET", "Patient?_revinclude=Patient:link"),
    Way("search-type", "GET", "Patient?_revinclude=*"),
    Way(
        "search-type",
        "GET",
        "Practitioner?_revinclude=Patient:general-practitioner&_revinclude:iterate=Observation:subject",
    ),
    Way("search-type", "GET", "Observation?encounter:below=Encounter/b-encounter-patient-0"),
    Way("search-type", "GET", "Encounter?part-of:above=Encounter/b-encounter-patient-0"),
    Way("search-type", "GET", f"Patient?_text={SECRET}"),
    Way("search-type", "GET", f"Patient?_content={SECRET}&_sort=_score"),
    Way("search-type", "GET", "Observation?_contained=both&_total=accurate"),
    Way("search-type", "GET", "Observation?_explain=true"),
    Way("search-type", "GET", "Patient?_elements=name&_total=accurate"),
    Way("search-type", "GET", "Patient?_total=estimate&_count=1"),
    Way("search-type", "GET", "Patient?_count=0"),
    Way("search-type", "GET", "Observation?_format=ndjson"),
    Way("search-type", "POST", "Observation/_search?subject=Patient/b", "patient=a", FORM),
    Way("search-type", "POST", "Observation/_search", "subject=Patient/b", FORM),
    Way("search-type", "GET", "Patient/b/Observation"),
    Way("search-type", "GET", "Patient/b/*"),
    Way("search-type", "GET", "Patient/a/Observation?subject=Patient/b"),
    Way("search-type", "GET", "Practitioner/shared/Patient"),
    Way("search-type", "GET", "Encounter/b-encounter-patient-0/Observation"),
    Way("search-system", "GET", "?_type=Patient,Observation&_count=1000"),
    Way("search-system", "GET", "?_lastUpdated=gt2000&_count=1000"),
    Way("search-system", "POST", "_search", "_type=Patient", FORM),
    Way("operation", "GET", "Patient/b/$everything"),
    Way("operation", "GET", "Patient/a/$everything"),
    Way("operation", "GET", "Patient/$everything"),
    Way("operation", "GET", "Patient/$everything?_type=Patient,Observation,Group&_count=1000&start=1900"),
    Way("operation", "GET", "Encounter/b-encounter-patient-0/$everything"),
    Way("operation", "GET", "Encounter/a-encounter-patient-0/$everything"),
    Way("operation", "GET", f"{OBSERVATION}/$meta"),
    Way("operation", "GET", f"{OBSERVATION}/_history/1/$meta"),
    Way("operation", "GET", "$meta"),
    Way("operation", "GET", "Patient/$meta"),
    Way("operation", "GET", "Observation/$meta"),
    Way("operation", "POST", f"{OBSERVATION}/$meta-add", _PARAMETERS),
    Way("operation", "POST", f"{OBSERVATION}/$meta-delete", _PARAMETERS),
    Way(
        "operation", "POST", f"{OBSERVATION}/$validate?mode=update", _observation(id="b-observation-subject-0", **_TO_A)
    ),
    Way("operation", "POST", f"{OBSERVATION}/$validate?mode=delete"),
    Way("operation", "POST", f"{OBSERVATION}/$purge"),
    Way("operation", "POST", f"{OBSERVATION}/_history/1/$purge"),
    Way("operation", "POST", "Patient/b/$purge"),
    *(Way("operation", "POST", f"{at}$graphql", {"query": query}) for at, query in _GRAPHS),
    Way("operation", "GET", "$export", None, LATER),
    Way("operation", "GET", "Patient/$export?_type=Patient,Observation", None, LATER),
    Way("operation", "GET", "Group/b-group/$export", None, LATER),
    Way("operation", "POST", "Patient/$export", _PATIENT_B, LATER),
    Way("operation", "POST", "$import", _BINARY_OF_B, LATER),
    *(Way("operation", "GET", url) for url in _TERMINOLOGY),
    Way("operation", "POST", "ValueSet/$batch-validate-code", {"resourceType": "Parameters"}),
    Way("operation", "POST", "ConceptMap/$closure", {"resourceType": "Parameters"}),
    Way("operation", "POST", "ViewDefinition/$viewdefinition-run", _view("Patient")),
    Way("operation", "POST", "ViewDefinition/$viewdefinition-run", _view("Observation")),
    Way("operation", "POST", "$viewdefinition-run", _view("Observation", *_PATIENT_B["parameter"])),
    Way("operation", "GET", "Subscription/$status"),
    Way("operation", "GET", "Subscription/b/$status"),
    Way("operation", "GET", "Subscription/b/$events"),
    Way("operation", "GET", "Subscription/$get-ws-binding-token?id=b"),
    Way("operation", "GET", "Subscription/b/$get-ws-binding-token"),
    Way("async-status", "GET", _UNKNOWN_WORK),
    Way("async-cancel", "DELETE", _UNKNOWN_WORK),
    Way("async-file", "GET", f"{_UNKNOWN_WORK}/1.ndjson"),
    Way(
        "batch",
        "POST",
        "",
        _bundle("batch", ("GET", "Patient/b", None), ("GET", "Observation?subject=Patient/b", None)),
    ),
    Way("batch", "POST", "", _bundle("batch", ("GET", f"{BASE}/Patient/b", None), ("GET", "/Patient/b", None))),
    Way("batch", "POST", "", _bundle("transaction", ("GET", "Patient/b", None))),
    Way(
        "batch",
        "POST",
        "",
        _bundle("transaction", ("PUT", OBSERVATION, _observation(id="b-observation-subject-0", **_TO_A))),
    ),
    Way("batch", "POST", "", _bundle("transaction", ("POST", "Observation", _observation(**_TO_B)))),
    Way(
        "batch",
        "POST",
        "",
        _bundle(
            "transaction",
            ("POST", "Observation", _observation(subject={"reference": f"Patient?family={SECRET}-family"})),
        ),
    ),
    Way("batch", "POST", "", _bundle("transaction", ("DELETE", OBSERVATION, None))),
    Way("batch", "POST", "", _bundle("batch", ("DELETE", OBSERVATION, None))),
    Way("create", "POST", "Observation", _observation(**_TO_B)),
    Way("create", "POST", "Observation", _observation(subject={"reference": f"{BASE}/Patient/b"})),
    Way("create", "POST", "Patient", {"resourceType": "Patient", "id": "a", "name": [{"family": "x"}]}),
    Way("create", "POST", "Observation", _observation(**_TO_B), (("If-None-Exist", "subject=Patient/b"),)),
    Way("create", "POST", "Observation", _observation(**_TO_A), (("If-None-Exist", "value-quantity=95"),)),
    Way("update", "PUT", OBSERVATION, _observation(id="b-observation-subject-0", **_TO_A)),
    Way("update", "PUT", "Patient/b", {"resourceType": "Patient", "id": "b"}),
    Way("update", "PUT", OBSERVATION, _observation(id="b-observation-subject-0", **_TO_A), (("If-Match", 'W/"2"'),)),
    Way("update", "PUT", OBSERVATION, _observation(id="b-observation-subject-0", **_TO_A), (("If-None-Match", "*"),)),
    Way("update", "PUT", "Observation/a-observation-subject-0", _observation(id="a-observation-subject-0", **_TO_B)),
    Way("patch", "PATCH", OBSERVATION, [{"op": "replace", "path": "/status", "value": "amended"}], PATCH),
    Way("patch", "PATCH", OBSERVATION, [{"op": "test", "path": "/status", "value": "final"}], PATCH),
    Way(
        "patch",
        "PATCH",
        "Observation/a-observation-subject-0",
        [{"op": "replace", "path": "/subject/reference", "value": "Patient/b"}],
        PATCH,
    ),
    Way("conditional-update", "PUT", "Observation?value-quantity=95", _observation(**_TO_B)),
    Way("conditional-patch", "PATCH", "Observation?value-quantity=95", [{"op": "remove", "path": "/status"}], PATCH),
    Way("conditional-delete", "DELETE", "Observation?value-quantity=95"),
    Way("conditional-delete", "DELETE", "Observation?subject=Patient/b&_multiple=true"),
    Way("delete", "DELETE", OBSERVATION),
    Way("delete", "DELETE", "Patient/b"),
    Way("delete", "DELETE", OBSERVATION, None, (("If-Match", 'W/"2"'),)),
    Way("capabilities", "GET", "metadata"),
]
