"""What a request does at once with itself is counted against its budget."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "fhir_server"
_UNCOUNTED = re.compile(r"\basyncio\.gather\(")
_CALLERS = ("auth", "engine", "hospital", "http", "search")


def test_parallel_work_of_requests_is_counted() -> None:
    """`work.budget.together` awaits several works at once and counts them; `asyncio.gather` does not."""
    paths = [path for name in _CALLERS for path in (ROOT / name).rglob("*.py")]
    matches = {str(path.relative_to(ROOT)) for path in paths if _UNCOUNTED.search(path.read_text("utf-8"))}
    assert not matches
