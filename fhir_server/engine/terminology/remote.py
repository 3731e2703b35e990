"""Other terminology servers: what is asked of a code system that one of them has, and this server has not, goes there.

The whole operation goes, with the value sets of this server that it uses, so that the answer is one server's and not
put together from two. Answers are kept for a while. A server that does not answer is told as such; nothing is guessed.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from fhir_server.auth.outbound import Answered, Outgoing, Refused, fetch
from fhir_server.errors import FhirError, Issue, Unavailable
from fhir_server.r4 import values
from fhir_server.r4.validation import validate
from fhir_server.settings import Settings

Json = dict[str, Any]

_VOLATILE = frozenset({"cache-id", "uuid", "no-cache", "diagnostics"})
_MOST_KEPT = 2_000
_LARGEST_KEPT = 256 * 1024
_DEEPEST = 100
_FORM = frozenset({"structure", "value", "invalid"})

log = structlog.get_logger(__name__)


class Routed(Exception):
    """The library needs a code system that another server has; `needed` are the value sets that were used so far."""

    def __init__(self, system: str) -> None:
        super().__init__(system)
        self.system = system
        self.needed: list[Json] = []


class RemoteFault(FhirError):
    """The other server refuses what it was asked; its issues are passed on."""

    def __init__(self, status: int, issues: Iterable[Issue]) -> None:
        super().__init__(issues=issues)
        self.status = status


@dataclass(slots=True)
class _Kept:
    answer: Json
    until: float


class RemoteTerminology:
    """Asks the servers that the settings route code systems to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = settings.terminology_routes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def server_of(self, system: str) -> str | None:
        """Return the base URL of the server that has a code system, None where none is said to."""
        return self._servers.get(system)

    async def ask(self, routed: Routed, operation: str, parameters: Json) -> Json:
        """Return what the server of a system answers to an operation, such as `ValueSet/$expand`.

        Raises Unavailable where it does not answer, and what it refuses itself.
        """
        base = self._servers[routed.system]
        url, body = f"{base}/{operation}", values.encode(_body(parameters, routed.needed))
        key = hashlib.sha256(url.encode() + b" " + body).hexdigest()
        kept = self._kept.get(key)
        if kept is not None and kept.until > time.monotonic():
            self._kept.move_to_end(key)
            return kept.answer
        content = await self._posted(url, body, routed.system)
        answer = _resource(content)
        if answer is None or _is_malformed(answer):
            raise self._silent(routed.system, base, "it answers no valid resource")
        if len(content) <= _LARGEST_KEPT:
            self._keep(key, answer)
        return answer

    def _keep(self, key: str, answer: Json) -> None:
        self._kept[key] = _Kept(answer, time.monotonic() + self._settings.terminology_cache_seconds)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def _posted(self, url: str, body: bytes, system: str) -> bytes:
        outgoing = Outgoing(
            "POST",
            {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"},
            body,
            largest=self._settings.max_answer_bytes,
            seconds=self._settings.terminology_seconds,
        )
        try:
            return (await fetch(url, outgoing, allow_internal=self._settings.allow_internal_urls)).body
        except Answered as error:
            issues = _issues(_resource(error.body))
            if error.status < 500 and issues:
                raise RemoteFault(error.status, issues) from error
            raise self._silent(system, self._servers[system], str(error)) from error
        except Refused as error:
            raise self._silent(system, self._servers[system], str(error)) from error

    @staticmethod
    def _silent(system: str, base: str, reason: str) -> Unavailable:
        log.warning("terminology.remote", server=base, reason=reason)
        return Unavailable(f"The terminology server {base}, which has {system}, cannot be asked now: {reason}.")


def _body(parameters: Json, needed: Iterable[Json]) -> Json:
    """Return the parameters as another server needs them: with the resources that only this one has."""
    parts = [part for part in parameters["parameter"] if part["name"] not in _VOLATILE]
    own = [{"name": "tx-resource", "resource": _plain(each)} for each in needed]
    return {"resourceType": "Parameters", "parameter": [*parts, *own]}


def _plain(resource: Mapping[str, Any]) -> Json:
    return {name: value for name, value in resource.items() if name not in ("text", "meta")}


def _resource(content: bytes) -> Json | None:
    try:
        resource = values.decode(content)
    except (FhirError, ValueError, RecursionError):
        return None
    return resource if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str) else None


def _is_malformed(resource: Json) -> bool:
    """Whether elements of a resource are not of their types; rules beyond that are the other server's own."""
    return any(fault.code in _FORM for fault in validate(resource, max_depth=_DEEPEST))


def _issues(outcome: Json | None) -> list[Issue]:
    if outcome is None or outcome["resourceType"] != "OperationOutcome":
        return []
    listed = outcome.get("issue")
    elements = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [
        Issue(
            str(each.get("code") or "processing")[:40],
            str(_text(each))[:2000],
            (),
            str(each.get("severity") or "error"),
        )
        for each in elements[:50]
    ]


def _text(issue: Json) -> str:
    details = issue.get("details")
    text = details.get("text") if isinstance(details, dict) else None
    return text or issue.get("diagnostics") or "The other server gives no reason."
