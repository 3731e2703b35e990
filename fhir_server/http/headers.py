"""Request headers by name, with repeated lines understood as RFC 9110 says."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.errors import BadRequest

_LISTS = frozenset(
    {"accept", "accept-encoding", "cache-control", "content-encoding", "if-match", "if-none-match", "prefer", "range"}
)
"""Headers whose value is a list: several lines mean the same as one line with commas."""

_SINGLE = frozenset(
    {"authorization", "content-type", "content-length", "host", "if-modified-since", "if-none-exist", "if-range"}
)
"""Headers of which the server can only follow one."""


def request_headers(lines: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the value of each header, by its name in lower case; lists on several lines are joined.

    https://www.rfc-editor.org/rfc/rfc9110#section-5.3
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in lines:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in _LISTS and name in headers else value
    return headers


def require_single(lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise BadRequest where a header that takes one value stands on several lines with different values."""
    seen: dict[bytes, bytes] = {}
    for name, value in lines:
        if seen.setdefault(name, value) != value and name.decode("latin-1") in _SINGLE:
            raise BadRequest(f"The header {name.decode('latin-1')} is sent twice, with different values.")
