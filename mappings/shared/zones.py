"""Names of IANA time zones. https://www.iana.org/time-zones"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone(name: str) -> ZoneInfo:
    """Return the IANA time zone; raises ValueError for a name that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name[:60]!r} is not an IANA time zone") from error


def is_zone(name: Any) -> bool:
    """Return whether it is the name of an IANA time zone."""
    return isinstance(name, str) and _is_zone(name)


@lru_cache(maxsize=1000)
def _is_zone(name: str) -> bool:
    try:
        zone(name)
    except ValueError:
        return False
    return True
