"""AuditEvents are put together from parts: the result is that of the way which all other resources go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.audit.drafts import AuditDrafts
from fhir_server.audit.event import audit_event
from fhir_server.audit.kinds import NAMED
from fhir_server.audit.records import AccessRecord, Actor, EntryRecord, decode_record, encode_record
from fhir_server.engine import versions
from fhir_server.engine.context import Context, Services
from fhir_server.r4 import values
from fhir_server.r4.definitions import SearchParameter
from fhir_server.r4.validation import validate
from fhir_server.search import registry
from fhir_server.settings import Settings
from fhir_server.store.resources.resources import Draft

BASE = "https://clinic.example/fhir"
CONTEXT = Context(cast(Services, SimpleNamespace(settings=Settings())), BASE)
DRAFTS = AuditDrafts(CONTEXT)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
NAMES = st.sampled_from(["", "anna", "Dr. Müller-Øst", "hole.0-0.hole"])
IDS = st.sampled_from(["a", "p0", "hole.0-0.hole", "01999c6e-7b3a-7000-8000-00155d012345", "A.b-C"]) | TEXTS
TYPES = st.sampled_from(["Patient", "Observation", "AuditEvent", "Group", "Patients", "$everything", "_search"])
PATHS = st.one_of(
    st.just(""),
    TEXTS,
    TYPES,
    st.builds(lambda kind, name: f"{kind}/{name}", TYPES, IDS),
    st.builds(
        lambda kind, name, end: f"{kind}/{name}/{end}", TYPES, IDS, st.sampled_from(["_history/3", "$meta", "*"])
    ),
)
QUERIES = st.sampled_from(["", "name=Miller", "_id=" + "x" * 5000]) | TEXTS
REFERENCES = st.sampled_from(["", "Patient/a", f"{BASE}/Practitioner/1", "Person/1"])
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"])
LOCATIONS = st.sampled_from(["", "Patient/a/_history/2", "transaction", "batch", "Observation/01999c6e-7b3a"])
RECORDS = st.builds(
    AccessRecord,
    id=st.just("01999c6e-7b3a-7000-8000-00155d012345"),
    milliseconds=st.integers(0, 4_000_000_000_000) | st.integers(0, 40_000).map(lambda days: days * 86_400_000),
    actor=st.builds(Actor, st.sampled_from(["", "127.0.0.1", "2001:db8::1"]), NAMES, NAMES, NAMES, REFERENCES),
    method=METHODS,
    path=PATHS,
    query=QUERIES,
    status=st.sampled_from([200, 201, 204, 304, 400, 404, 500, 599]),
    patient=st.sampled_from(["", "a"]),
    location=LOCATIONS,
    event=st.sampled_from(["", "", "", *NAMED]),
    reason=st.sampled_from(["", "", "Too many attempts."]),
    details=st.sampled_from([(), (), (("scope", "openid patient/*.rs"), ("grant-type", "refresh_token"))]),
    patients=st.lists(st.sampled_from(["a", "b", "hole.0-0.hole", "01999c6e-7b3a"]), max_size=3, unique=True).map(
        tuple
    ),
    request_id=st.sampled_from(["", "", "abc-1", "hole.0-0.hole", "Root=1-AB:cd/e+f_."]),
    questions=st.lists(
        st.builds(lambda path, query: f"{path}?{query}" if query else path, PATHS, QUERIES), max_size=3
    ).map(tuple),
    entries=st.lists(
        st.builds(EntryRecord, METHODS, PATHS, st.sampled_from(["", "200 OK"]), LOCATIONS), max_size=4
    ).map(tuple),
)


def _index(draft: Draft) -> dict[str, Any]:
    return {**draft.index, "keys": sorted(draft.index["keys"])}


def _others(record: AccessRecord) -> Draft:
    """Return the draft that all other resources get."""
    return versions.draft(CONTEXT, audit_event(record), record.id, "POST", None)


def _require_same(record: AccessRecord) -> Draft:
    made, usual = DRAFTS.drafts([record])[0], _others(record)
    assert _index(made) == _index(usual)
    assert len(set(made.index["keys"])) == len(made.index["keys"])
    reported, usually = (values.decode(each.json) for each in (made, usual))
    assert reported.pop("meta").keys() == usually.pop("meta").keys()
    assert reported == usually
    assert values.encode(made.resource) == made.json
    assert (made.type, made.id, made.version, made.method) == (usual.type, usual.id, usual.version, usual.method)
    return made


@given(RECORDS)
@settings(max_examples=600, deadline=None)
def test_an_event_is_what_the_usual_way_makes_of_it(record: AccessRecord) -> None:
    """Whatever was asked by whomever: the same resource, and the same facts in the index."""
    _require_same(decode_record(encode_record(record)))


@given(st.lists(RECORDS, max_size=5))
@settings(max_examples=50, deadline=None)
def test_events_made_together_share_nothing(records: list[AccessRecord]) -> None:
    """What is remembered of one event is in no other."""
    made = DRAFTS.drafts(records)
    assert [_index(each) for each in made] == [_index(_others(record)) for record in records]
    assert [_index(each) for each in DRAFTS.drafts(records)] == [_index(each) for each in made]


def test_more_words_than_are_indexed_are_cut_as_usual() -> None:
    """A bundle of very many entries has the same first words."""
    entries = tuple(EntryRecord("GET", f"Nothing/a{n}-b{n}-c{n}-d{n}-e{n}-f{n}", "404 Not Found") for n in range(999))
    _require_same(AccessRecord("x", 1, Actor(), "POST", "", "", 200, entries=entries))


@given(RECORDS)
@settings(max_examples=200, deadline=None)
def test_every_event_is_valid(record: AccessRecord) -> None:
    """Nothing is validated when it is stored; so each shape must be valid by itself."""
    assert [fault for fault in validate(audit_event(record), max_depth=100) if fault.severity != "warning"] == []


def test_an_added_search_parameter_finds_events_too() -> None:
    """One that was added for AuditEvent at run time is indexed, also where it asks for several parts at once."""
    record = AccessRecord("x", 1, Actor("127.0.0.1", "app"), "GET", "Patient/a", "", 200)
    added = SearchParameter(
        "read-of", f"{BASE}/SearchParameter/read-of", "ReadOf", "reference", ("AuditEvent",),
        "AuditEvent.where(action = 'R').entity.what",
    )  # fmt: skip
    _require_same(record)
    try:
        registry.register([added])
        assert "read-of=Patient/a" in _require_same(record).index["keys"]
    finally:
        registry.register(())
    assert "read-of=Patient/a" not in _require_same(record).index["keys"]
