"""Texts that are kept encrypted: AES-GCM under a key of 32 bytes, each bound to what it is about."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


def seal(data: bytes, key: bytes, about: str) -> bytes:
    """Return the data encrypted; `about` must be told again to read it."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, about.encode())


def unseal(sealed: bytes, key: bytes, about: str) -> bytes | None:
    """Return what `seal` was given, or None where the key is another, or what it is about."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        return None
