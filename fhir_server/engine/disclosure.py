"""Whose data a request's answer holds, and what it asked where its URL does not tell: noted on the way, for the trail.

Every interaction notes the resources as they are stored, before `_elements` or GraphQL takes parts of them: data are
about a patient also where the answer no longer says so. Several requests that serve one, as the entries of a bundle do
or the interactions of an endpoint, note in the same place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fhir_server.r4.references import local

_REFERENCE = re.compile(rb'"reference":"([^"]*Patient/[^"]*)"')
_PATIENT = b"Patient/"
_TRAIL = "AuditEvent"


@dataclass(slots=True)
class Disclosure:
    """What became known of one request; both in the order of the first mention, each once."""

    patients: dict[str, None] = field(default_factory=dict)
    questions: dict[str, None] = field(default_factory=dict)
    """As URLs relative to the base, with what the body or a paging link asked for as their query."""


_current: ContextVar[Disclosure | None] = ContextVar("disclosure", default=None)


@contextmanager
def disclosing() -> Iterator[Disclosure]:
    """Give what is noted meanwhile."""
    disclosure = Disclosure()
    token = _current.set(disclosure)
    try:
        yield disclosure
    finally:
        _current.reset(token)


def note_resource(base_url: str, resource_type: str, resource_id: str, json: bytes | None) -> None:
    """Note whose data a stored resource holds: the Patient itself, and each that it refers to.

    What the trail says of a patient is no data of the patient's: who looks at it would else add to it what it shows.
    """
    disclosure = _current.get()
    if disclosure is None or resource_type == _TRAIL:
        return
    if resource_type == "Patient" and resource_id:
        disclosure.patients[resource_id] = None
    if json is None or _PATIENT not in json:
        return
    for text in _REFERENCE.findall(json):
        named = local(text.decode(), base_url)
        if named is not None and named.type == "Patient":
            disclosure.patients[named.id] = None


def note_patients(patients: Iterable[str]) -> None:
    """Note patients whose data an answer holds that was made earlier."""
    disclosure = _current.get()
    if disclosure is not None:
        disclosure.patients.update(dict.fromkeys(patients))


def note_question(path: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Note what a request to the path asks for."""
    disclosure = _current.get()
    if disclosure is not None:
        query = urlencode(list(pairs))
        disclosure.questions[f"{path}?{query}" if query else path] = None
