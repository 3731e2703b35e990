"""JSON in and out, with every decimal kept as it was written.

FHIR forbids to change the precision of a decimal: 1.0 and 1.00 are different facts, and so is the text of 0.0000001,
which Python would print as 1E-7. https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

from fhir_server.errors import BadRequest

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some programs write at the beginning of UTF-8 text."""


class TextDecimal(Decimal):
    """A decimal whose text is not the one Python would print; keeps the text."""

    text: str


def decimal(text: str) -> Decimal:
    """Return the decimal written as `text`, remembering the text where Python would print another."""
    try:
        value = Decimal(text)
    except ArithmeticError as error:
        raise BadRequest(f"The number {text[:40]!r} is out of range.", code="value") from error
    if str(value) == text:
        return value
    kept = TextDecimal(text)
    kept.text = text
    return kept


def _encode_unknown(value: object) -> object:
    if isinstance(value, TextDecimal):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"{type(value).__name__} is not JSON")


_decoder = msgspec.json.Decoder(float_hook=decimal)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_encode_unknown)
encode = _encoder.encode
encode_sorted = msgspec.json.Encoder(decimal_format="number", enc_hook=_encode_unknown, order="sorted").encode
"""Return a value as JSON bytes that do not depend on the order of its properties."""


def pretty(data: bytes) -> bytes:
    """Return JSON bytes indented by two spaces, numbers untouched."""
    return msgspec.json.format(data, indent=2)


def decode(data: bytes) -> Any:
    """Return the JSON value in `data`, which must be UTF-8 and without repeated keys; a byte order mark is passed over.

    Raises BadRequest, naming the fault, for anything that is not JSON. https://www.rfc-editor.org/rfc/rfc8259#section-8.1
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}", code="structure") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.", code="too-costly") from error
    _refuse_repeated_keys(data, value)
    return value


def _refuse_repeated_keys(data: bytes, value: object) -> None:
    # A parser keeps the last of two equal keys, so the value then prints shorter than what was sent. Only what differs
    # in length from a compact printing even without its white space (by escapes, or a repeated key) needs the slower
    # look.
    size = _compact_size(value)
    if size == len(data) or size == len(msgspec.json.format(data, indent=-1)):
        return
    try:
        json.loads(data, object_pairs_hook=_unique_pairs, parse_float=str, parse_int=str)
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.", code="too-costly") from error


def _compact_size(value: object) -> int:
    """Return the length of the value's compact printing; a Bundle is printed entry by entry, as it may be large."""
    if not isinstance(value, dict) or not isinstance(entries := value.get("entry"), list) or not entries:
        return len(encode(value))
    around = len(encode(value | {"entry": []}))
    return around + sum(len(encode(entry)) for entry in entries) + len(entries) - 1


def _unique_pairs(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadRequest(f"The property {key!r} appears twice in one object.", code="structure")
            seen.add(key)
