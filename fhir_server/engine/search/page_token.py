"""The opaque value in a paging link: encrypted, because the sort key of the last row may be somebody's name, and short.

A token says where a page starts, not who may see it: access is applied anew to every page.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import BadRequest

_NONCE_BYTES = 12


def seal(key: bytes, value: Any) -> str:
    """Return `value` (plain data) as a URL-safe token under the 32-byte key."""
    nonce = os.urandom(_NONCE_BYTES)
    packed = zlib.compress(msgspec.msgpack.encode(value), 9)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, packed, None)).rstrip(b"=").decode()


def unseal(key: bytes, token: str) -> Any:
    """Return the value that `seal` was given; raises BadRequest for a token that was not made with this key."""
    try:
        data = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        packed = AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
    except (ValueError, binascii.Error, InvalidTag) as error:
        raise BadRequest("The paging link is not one that this server made.") from error
    return msgspec.msgpack.decode(zlib.decompress(packed))
