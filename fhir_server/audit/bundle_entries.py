"""The entries of a bundle that was carried out, as the audit trail tells them."""

from __future__ import annotations

from typing import Any

import msgspec

from fhir_server.audit.records import EntryRecord
from fhir_server.engine.context import Request, Response


class _Outcome(msgspec.Struct):
    status: str = ""
    location: str = ""


class _Entry(msgspec.Struct):
    response: _Outcome = msgspec.field(default_factory=_Outcome)


class _Bundle(msgspec.Struct):
    type: str = ""
    entry: list[_Entry] = []


_decoder = msgspec.json.Decoder(_Bundle)


def bundle_entries(request: Request | None, response: Response | None) -> tuple[tuple[EntryRecord, ...], str]:
    """Return the entries of a batch or transaction, each with its outcome, and which of the two it was."""
    if request is None or request.path or request.method != "POST" or not isinstance(request.resource, dict):
        return (), ""
    bundle = _decoder.decode(response.json) if response is not None and response.json else _Bundle()
    requested = request.resource.get("entry")
    requested = requested if isinstance(requested, list) else []
    outcomes = [entry.response for entry in bundle.entry] or [_Outcome()] * len(requested)
    entries = tuple(_entry(one, outcome) for one, outcome in zip(requested, outcomes, strict=False))
    return entries, bundle.type.removesuffix("-response")


def _entry(entry: Any, outcome: _Outcome) -> EntryRecord:
    request = entry.get("request") if isinstance(entry, dict) else None
    request = request if isinstance(request, dict) else {}
    location = "/".join(outcome.location.partition("/_history")[0].rsplit("/", 2)[-2:])
    return EntryRecord(str(request.get("method", "")), str(request.get("url", "")), outcome.status, location)
