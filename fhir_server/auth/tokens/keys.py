"""The server's own signing keys: RSA, made here, sealed for storage, published without their private half.

Only id_tokens are signed. Access tokens are opaque, so that changing the key ends none of them.
https://openid.net/specs/openid-connect-core-1_0.html#Signing
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
ROTATION = timedelta(days=90)
"""A key older than this signs no more."""

RETENTION = timedelta(days=2)
"""How long a key is still published after it was replaced: longer than any id_token lives."""

_BITS = 2048
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair of the server and when it was made."""

    id: str
    key: RSAKey
    made: datetime

    def public(self) -> dict[str, Any]:
        """Return the public half as a JWK."""
        members = cast(dict[str, Any], self.key.as_dict(private=False))
        return {**members, "kid": self.id, "use": "sig", "alg": ALGORITHM}


def make_key() -> SigningKey:
    """Return a new key pair."""
    key = RSAKey.generate_key(_BITS)
    return SigningKey(key.thumbprint(), key, datetime.now(UTC))


def seal_key(key: SigningKey, master: bytes) -> bytes:
    """Return the private key encrypted under the 32-byte master key, bound to its id."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(master).encrypt(nonce, key.key.as_pem(private=True), key.id.encode())


def unseal_key(key_id: str, sealed: bytes, made: datetime, master: bytes) -> SigningKey | None:
    """Return the key that `seal_key` was given, or None where the master key is another."""
    try:
        pem = AESGCM(master).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key_id.encode())
    except InvalidTag:
        return None
    return SigningKey(key_id, RSAKey.import_key(pem), made)
