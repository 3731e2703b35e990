"""Nothing of a request is cancelled in the middle of a database call."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "fhir_server"
_CANCELS = re.compile(r"\bStreamingResponse\(|\bTaskGroup\b|\banyio\b|\bwait_for\(|\bBaseHTTPMiddleware\b")
_MAY = {
    "http/streamed.py",  # replaces what cancels
    "audit/job.py",  # waits for an event, not for the database
}


def test_what_cancels_is_not_used() -> None:
    """On Python 3.11 the driver's pool loses its lock to a waiter that is cancelled twice: nothing may cancel one."""
    matches = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if _CANCELS.search(path.read_text("utf-8"))}
    assert matches <= _MAY
