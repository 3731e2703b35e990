"""If-Match, If-None-Match and If-Modified-Since against a current version. https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fhir_server.engine.context import Request
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.store.resources.resources import Version

_ETAG_LIST = re.compile(r'\s*(?:W/)?("?)([A-Za-z0-9\-.]+)\1\s*(?:,|$)')


def etag(version: int) -> str:
    """Return the weak ETag of a version."""
    return f'W/"{version}"'


def parse_etags(header: str, name: str) -> frozenset[str]:
    """Return the version ids in an If-Match or If-None-Match header; `*` stands alone. Raises BadRequest."""
    if header.strip() == "*":
        return frozenset("*")
    position, versions = 0, set[str]()
    while position < len(header):
        match = _ETAG_LIST.match(header, position)
        if match is None:
            raise BadRequest(f'{name} must be a list of ETags such as W/"1", not {header[:100]!r}.')
        versions.add(match[2])
        position = match.end()
    if not versions:
        raise BadRequest(f"{name} is empty.")
    return frozenset(versions)


def require_match(request: Request, current: Version | None) -> None:
    """Raise PreconditionFailed where If-Match or If-None-Match forbids to replace the current version.

    If-Match may name the version that is a deletion: that is how a client brings back just what it saw deleted.
    https://hl7.org/fhir/R4/http.html#delete
    """
    exists = current is not None and not current.deleted
    what = request.path if current is None else f"{current.type}/{current.id}"
    if request.if_match is not None:
        etags = parse_etags(request.if_match, "If-Match")
        if current is None or not (str(current.version) in etags or (exists and "*" in etags)):
            actual = f"its current version is {current.version}" if current and exists else "it does not exist"
            raise PreconditionFailed(f"If-Match does not hold for {what}: {actual}.")
    if request.if_none_match is not None and current is not None and exists:
        refused = parse_etags(request.if_none_match, "If-None-Match")
        if "*" in refused or str(current.version) in refused:
            raise PreconditionFailed(f"If-None-Match does not hold: {what} exists in version {current.version}.")


def not_modified(request: Request, current: Version) -> bool:
    """Return whether a conditional read is answered by 304."""
    if request.if_none_match is not None:
        etags = parse_etags(request.if_none_match, "If-None-Match")
        return "*" in etags or str(current.version) in etags
    if request.if_modified_since is not None:
        since = _http_date(request.if_modified_since)
        return since is not None and current.updated.replace(microsecond=0) <= since
    return False


def _http_date(header: str) -> datetime | None:
    # RFC 9110: a date that cannot be read is ignored, as if the header were absent. Bundle entries carry an instant.
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            time = parse(header)
        except (ValueError, TypeError):
            continue
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None
