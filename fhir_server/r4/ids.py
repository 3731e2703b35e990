"""Logical ids: the one place that says what an id may look like. https://hl7.org/fhir/R4/datatypes.html#id"""

from __future__ import annotations

import re

ID_PATTERN = r"[A-Za-z0-9\-.]{1,64}"

_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Return whether a text can be a logical id."""
    return _ID.fullmatch(text) is not None
