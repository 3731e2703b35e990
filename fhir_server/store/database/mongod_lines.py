"""Which lines of MongoDB still get security fixes, and which of two mongods is the newer one.

https://www.mongodb.com/legal/support-policy/lifecycles
"""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

_ENDS = {
    (4, 4): date(2024, 2, 29),
    (5, 0): date(2024, 10, 31),
    (6, 0): date(2025, 7, 31),
    (7, 0): date(2027, 8, 31),
    (8, 0): date(2029, 10, 31),
}
"""The last day of each line's support; of later lines nothing is said here."""

Version = tuple[int, ...]


def past_its_end(version: str, today: date | None = None) -> str | None:
    """Return a sentence that says so where the version's line gets no security fixes any more; None where it does."""
    line = _numbers(version)[:2]
    last = _ENDS.get((line[0], line[1])) if len(line) == 2 else None
    if last is None and line and line < min(_ENDS):
        last = min(_ENDS.values())
    if last is None or (today or datetime.now(UTC).date()) <= last:
        return None
    return (
        f"MongoDB {version} belongs to a line that gets no security fixes since {last}. Put a current mongod on the "
        "PATH, or name one with FHIR_SERVER_MONGOD; README.md, Operations, says how."
    )


def newer(one: Path, other: Path) -> Path:
    """Return the mongod with the higher version, the first of two that are equal or do not say."""
    return other if version_of(other) > version_of(one) else one


def version_of(mongod: Path) -> Version:
    """Return the version that the program says it has; empty where it does not."""
    try:
        output = subprocess.run([mongod, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return _numbers(output)


def _numbers(text: str) -> Version:
    match = re.search(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    return tuple(int(number) for number in match.groups() if number is not None) if match else ()
