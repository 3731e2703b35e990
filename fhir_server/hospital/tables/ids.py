"""The ids of rows as logical ids, which know fewer characters, and back. https://hl7.org/fhir/R4/datatypes.html#id

A number or a UUID stays what it is, so the ids that an app has kept still hold. Any other character is written as its
UTF-8 bytes in hexadecimal, each after a point.
"""

from __future__ import annotations

import re

_STRANGE = re.compile(r"[^A-Za-z0-9\-]")
_ESCAPED = re.compile(r"(?:\.[0-9A-F]{2})+")


def to_logical(row_id: str, prefix: str = "") -> str:
    """Return the logical id of a row; `prefix` tells the rows of one hospital from those of another."""
    return prefix + _STRANGE.sub(_escaped, row_id)


def from_logical(logical_id: str, prefix: str = "") -> str:
    """Return the id of the row; of a resource that no import made, its own id."""
    bare = logical_id.removeprefix(prefix)
    try:
        unescaped = _ESCAPED.sub(_unescaped, bare)
    except UnicodeDecodeError:
        return bare
    return unescaped if to_logical(unescaped) == bare else bare


def _escaped(match: re.Match[str]) -> str:
    return "".join(f".{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _unescaped(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace(".", "")).decode()
