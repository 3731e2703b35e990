"""An insurer that answers for itself: a FHIR endpoint with CoverageEligibilityRequest/$submit.

https://hl7.org/fhir/R4/coverageeligibilityrequest-operation-submit.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.auth.outbound import Outgoing, Refused, fetch
from fhir_server.errors import FhirError
from fhir_server.r4 import values
from fhir_server.settings import Settings
from mappings.insurance import eligibility
from mappings.insurance.eligibility import Eligibility
from mappings.shared.elements import Resource
from mappings.shared.money import Money

_SECONDS = 10.0
_LARGEST = 1024 * 1024
_MEDIA_TYPE = "application/fhir+json"


class PayerUnreachable(Exception):
    """The insurer did not answer, or not with a CoverageEligibilityResponse."""


async def submit(settings: Settings, base_url: str, request: Resource, beside: Sequence[Resource]) -> Eligibility:
    """Return what the insurer that the settings name says to the request; raises PayerUnreachable.

    The insurer cannot read what the request refers to at `base_url`, so the resources go with it.
    """
    assert settings.payer_url is not None, "whoever asks has seen that there is an insurer"
    headers = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE}
    if settings.payer_token:
        headers["Authorization"] = f"Bearer {settings.payer_token}"
    entries = [
        {"fullUrl": f"{base_url}/{item['resourceType']}/{item['id']}", "resource": item} for item in (request, *beside)
    ]
    body = values.encode({"resourceType": "Bundle", "type": "collection", "entry": entries})
    url = f"{settings.payer_url.rstrip('/')}/CoverageEligibilityRequest/$submit"
    outgoing = Outgoing("POST", headers, body, _LARGEST, _SECONDS)
    try:
        answer = await fetch(url, outgoing, allow_internal=settings.allow_internal_urls)
        return eligibility.from_fhir(_response(values.decode(answer.body)), request)
    except (Refused, FhirError) as error:
        raise PayerUnreachable from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # of another shape than FHIR's
        raise PayerUnreachable from error


def _response(content: Any) -> dict[str, Any]:
    """Return the CoverageEligibilityResponse that was answered, alone or in a Bundle; raises PayerUnreachable."""
    if isinstance(content, dict) and content.get("resourceType") == "Bundle":
        resources = (entry.get("resource") or {} for entry in content.get("entry", ()))
        content = next((item for item in resources if item.get("resourceType") == "CoverageEligibilityResponse"), None)
    if not isinstance(content, dict) or content.get("resourceType") != "CoverageEligibilityResponse":
        raise PayerUnreachable
    _require_amounts(content)
    return content


def _require_amounts(response: dict[str, Any]) -> None:
    """Raise PayerUnreachable where an amount cannot be read: an unknown copay must not become nothing to pay."""
    for insurance in response.get("insurance", ()):
        for item in insurance.get("item", ()):
            for benefit in item.get("benefit", ()):
                amount = benefit.get("allowedMoney")
                if amount is not None and Money.from_fhir(amount) is None:
                    raise PayerUnreachable
