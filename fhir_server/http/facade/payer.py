"""An insurer that answers for itself: a FHIR endpoint with CoverageEligibilityRequest/$submit.

https://hl7.org/fhir/R4/coverageeligibilityrequest-operation-submit.html
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from fhir_server.errors import FhirError
from fhir_server.r4 import values
from mappings.elements import Resource

_SECONDS = 10.0
_MEDIA_TYPE = "application/fhir+json"


class PayerUnreachable(Exception):
    """The insurer did not answer, or not with a CoverageEligibilityResponse."""


async def submit(base_url: str, request: Resource, token: str | None) -> dict[str, Any]:
    """Return the insurer's CoverageEligibilityResponse to the request; raises PayerUnreachable."""
    headers = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{base_url.rstrip('/')}/CoverageEligibilityRequest/$submit"
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False) as client:
            answer = await client.post(url, content=msgspec.json.encode(dict(request)), headers=headers)
        answer.raise_for_status()
        found = values.decode(answer.content)
    except (httpx.HTTPError, FhirError) as error:
        raise PayerUnreachable from error
    if isinstance(found, dict) and found.get("resourceType") == "Bundle":
        found = next((entry.get("resource") for entry in found.get("entry", ())), None)
    if not isinstance(found, dict) or found.get("resourceType") != "CoverageEligibilityResponse":
        raise PayerUnreachable
    return found
