"""Why the two validators differ, by what the one says that finds an error.

A difference is explained where each of its errors has a reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXAMPLE = "R4's own examples do so, and every one of them can be stored"

_OURS: tuple[tuple[str, str], ...] = (
    (
        r"cannot be referred to here",
        "HL7's validator does not look at the type of what it cannot resolve; R4's target types hold for it, too",
    ),
)
"""By a pattern of the text: why HL7's validator finds no error where ours does."""

_HL7: tuple[tuple[str, str], ...] = (
    (r"for in-memory expansion of ValueSet", "HAPI FHIR cannot expand the value set, whose codes the system has"),
    (r"VALIDATION_HL7_WG_NEEDED|: SM_|MEASURE_M_", "a rule of HL7's publication process, not of R4"),
    (r"TYPE_SPECIFIC_CHECKS_CANONICAL_ABSOLUTE", f"canonicals that are relative: {_EXAMPLE}"),
    (r"Error processing unit|The unit .* is unknown", f"units that UCUM has not are a warning here: {_EXAMPLE}"),
    (
        r"Terminology_PassThrough_TX_Message: Unknown code .*v3-orderableDrugForm",
        f"codes of quantities that a code system lacks are a warning here: {_EXAMPLE}",
    ),
    (r"BUNDLE_ENTRY_URL_MATCHES_TYPE_ID|BUNDLE_BUNDLE_ENTRY_NOTFOUND", f"fullUrls that fit no id: {_EXAMPLE}"),
    (r"DT_IDENTIFIER_IETF_SYSTEM_VALUE", f"identifiers that are no URI: {_EXAMPLE}"),
    (r"DT_UUID_Valid", f"a UUID in upper case in a uri, whose form R4 leaves open: {_EXAMPLE}"),
    (r"DT_XHTML_Resolve_Img", f"images that are not contained: {_EXAMPLE}"),
    (r"Unrecognized property 'col?lect|Unrecognized property 'method'", "HAPI FHIR's parser; R4 has the elements"),
)
"""By a pattern of the message: why ours finds no error where HL7's validator does."""


def reason(who: str, texts: Sequence[str]) -> str | None:
    """Return the reason of a difference; None where one of the errors has none."""
    table = _OURS if who == "ours" else _HL7
    reasons = [next((why for pattern, why in table if re.search(pattern, text)), None) for text in texts]
    return "; ".join(dict.fromkeys(filter(None, reasons))) if all(reasons) else None
