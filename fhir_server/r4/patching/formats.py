"""The media types of patches, and what a body of each says. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

from typing import Any

from fhir_server.r4 import values
from fhir_server.r4.patching import xml_patch
from fhir_server.r4.patching.merge_patch import MergePatch

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
XML_PATCH = "application/xml-patch+xml"
NOT_RESOURCES = (JSON_PATCH, MERGE_PATCH, XML_PATCH)
"""The formats that are no resource: in a bundle such a patch travels as a Binary."""
PATCH_FORMATS = (*NOT_RESOURCES, "application/fhir+json", "application/fhir+xml")
"""All that are taken; the last two carry the Parameters of a FHIRPath Patch."""
ACCEPT_PATCH = ", ".join(PATCH_FORMATS)
"""The value of the Accept-Patch header. https://www.rfc-editor.org/rfc/rfc5789#section-3.1"""


def read_patch(media_type: str, body: bytes, *, max_depth: int) -> Any:
    """Return the operations of a JSON Patch, a MergePatch or an XmlPatch.

    Raises BadRequest where the body is not JSON, or no XML Patch.
    """
    if media_type == XML_PATCH:
        return xml_patch.read(body, max_depth=max_depth)
    value = values.decode(body)
    return MergePatch(value) if media_type == MERGE_PATCH else value
