"""The id of the request that is being answered: by it caller, audit trail and log speak of the same one."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import NamedTuple

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+/-]{0,127}")
"""No spaces, quotes or control characters, and no @: an id goes into log lines as it is, an address must not."""


class RequestId(NamedTuple):
    """A request's id; `chosen` where the caller chose it, so that other requests may have the same."""

    text: str
    chosen: bool = False


current: ContextVar[RequestId | None] = ContextVar("request_id", default=None)
"""The id of the request being answered; None outside of requests."""


def is_sane(text: str) -> bool:
    """Return whether an id that a caller chose is taken."""
    return _SANE.fullmatch(text) is not None


def request_id() -> str:
    """Return the id of the request being answered; empty outside of requests."""
    current_id = current.get()
    return current_id.text if current_id is not None else ""


def chosen_id() -> str:
    """Return the id that the caller chose for the request; empty where it chose none.

    Only such a one stands in the body of an error: whatever differs from request to request there would tell two
    errors apart that must look the same.
    """
    current_id = current.get()
    return current_id.text if current_id is not None and current_id.chosen else ""
