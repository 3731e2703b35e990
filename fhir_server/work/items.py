"""One of many things that a job does: what fails, or is too dear, is set aside and noted, and the others go on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import structlog

from fhir_server.errors import Unavailable
from fhir_server.work.budget import Budget, working

ITEM_SECONDS = 10.0
"""Seconds of steps of work that one item may take: ten times what an ordinary request does."""

log = structlog.get_logger(__name__)


@contextmanager
def set_aside(event: str, *, seconds: float | None = ITEM_SECONDS, **about: str) -> Iterator[None]:
    """Do one item within a budget; where it fails log `event` with the kind and place of the fault, and go on.

    The fault's text is not logged, which may quote a resource. `seconds` None is for what must be done whatever it
    takes. Raises Unavailable: a database that is away is no fault of the item.
    """
    try:
        with nullcontext() if seconds is None else working(Budget(seconds, caller=event)):
            yield
    except Unavailable:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        log.error(event, kind=type(error).__name__, place=f"{frame.filename}:{frame.lineno}", **about)
