"""The media types of patches, and what a body of each says. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

from typing import Any

from fhir_server.r4 import values
from fhir_server.r4.patching.merge_patch import MergePatch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
NOT_RESOURCES = (JSON_PATCH, MERGE_PATCH)
"""The formats that are no resource: in a bundle such a patch travels as a Binary."""
PATCH_FORMATS = (*NOT_RESOURCES, "application/fhir+json", "application/fhir+xml")
"""All that are taken; the last two carry the Parameters of a FHIRPath Patch."""
ACCEPT_PATCH = ", ".join(PATCH_FORMATS)
"""The value of the Accept-Patch header. https://www.rfc-editor.org/rfc/rfc5789#section-3.1"""


def read_patch(media_type: str, body: bytes) -> Any:
    """Return the operations of a JSON Patch, or a MergePatch; raises BadRequest where the body is not JSON."""
    value = values.decode(body)
    return MergePatch(value) if media_type == MERGE_PATCH else value
