"""How much work it is to understand a search: what is long, or multiplies, is done in a thread."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.work.threads import SMALL


def heft(pairs: Sequence[tuple[str, str]]) -> int:
    """Return how much there is to understand in a search, in bytes: a chain multiplies by the types it leads to."""
    length = sum(len(name) + len(value) for name, value in pairs)
    multiplied = any("." in name or name.startswith(("_has", "_filter")) for name, _ in pairs)
    return SMALL + length if multiplied else 4 * length
