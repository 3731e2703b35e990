"""The Prefer header: what a caller would like, and may be refused silently. RFC 7240, https://hl7.org/fhir/R4/http.html#ops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

Return = Literal["minimal", "representation", "OperationOutcome"]
Handling = Literal["strict", "lenient"]

# Preferences are matched without regard to case, but FHIR writes this one so.
_RETURNS = {"minimal": "minimal", "representation": "representation", "operationoutcome": "OperationOutcome"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a Prefer header asks for; None where it does not say."""

    returns: Return | None = None
    handling: Handling | None = None
    respond_async: bool = False


@lru_cache(maxsize=256)
def preferences(header: str | None) -> Preferences:
    """Return the preferences in a Prefer header.

    Unknown ones are ignored, and of two with the same name the first counts, as RFC 7240 says.
    """
    tokens: dict[str, str] = {}
    for item in (header or "").split(","):
        name, _, value = item.partition(";")[0].partition("=")
        tokens.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    handling = tokens.get("handling")
    return Preferences(
        returns=cast("Return | None", _RETURNS.get(tokens.get("return", ""))),
        handling=cast("Handling", handling) if handling in ("strict", "lenient") else None,
        respond_async="respond-async" in tokens,
    )
