"""Resources as BSON: each decimal a Decimal128 with the digits it was written with, never a double.

1.1 as a double does not equal 1.1 as a decimal in a query, so the two must not mix.
"""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from functools import lru_cache
from typing import Any

import bson
from bson.codec_options import CodecOptions, TypeEncoder, TypeRegistry
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument

from fhir_server.errors import TooLarge
from fhir_server.r4.values import TextDecimal

Document = dict[str, Any]

LARGEST_DOCUMENT = 16 * 1024 * 1024
_LARGEST_LONG = 2**63


@lru_cache(maxsize=4096)
def _decimal128(text: str) -> Decimal128:
    # By text and not by value: 1.0 and 1.00 are equal decimals, but not the same one.
    return Decimal128(text)


class _DecimalEncoder(TypeEncoder):
    python_type = Decimal

    def transform_python(self, value: Any) -> Decimal128:
        return _decimal128(str(value))


class _TextDecimalEncoder(_DecimalEncoder):
    python_type = TextDecimal


CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_DecimalEncoder(), _TextDecimalEncoder()])
)


def with_long_integers(value: Any) -> Any:
    """Return the value with each integer beyond 64 bits as a decimal, which BSON can hold.

    The driver raises OverflowError for such a document; only then is this slow walk worth its time.
    """
    if isinstance(value, dict):
        return {name: with_long_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_long_integers(item) for item in value]
    if isinstance(value, int) and not -_LARGEST_LONG <= value < _LARGEST_LONG:
        return Decimal(value)
    return value


def encode(document: Document) -> RawBSONDocument:
    """Return the document as BSON, so that its faults show before it joins others; raises TooLarge among others."""
    try:
        encoded = bson.encode(document, codec_options=CODEC)
    except OverflowError:
        encoded = bson.encode(with_long_integers(document), codec_options=CODEC)
    if len(encoded) > LARGEST_DOCUMENT:
        raise TooLarge("The resource is larger than the database can hold.")
    return RawBSONDocument(encoded)
