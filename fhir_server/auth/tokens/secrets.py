"""Opaque secrets: codes, access and refresh tokens, launch values, session cookies; and how long each lives.

All are 256 random bits in an alphabet that survives a URL unencoded. The database knows only their hashes, so a copy of
it opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta

CODE_LIFETIME = timedelta(seconds=60)
LAUNCH_LIFETIME = timedelta(minutes=5)
ACCESS_LIFETIME = timedelta(hours=1)
BACKEND_LIFETIME = timedelta(seconds=300)
REFRESH_LIFETIME = timedelta(days=90)
SESSION_LIFETIME = timedelta(hours=8)
REQUEST_LIFETIME = timedelta(minutes=15)
"""How long a user may take to sign in and decide."""


def new_secret() -> str:
    """Return 256 random bits as 43 characters of A-Z, a-z, 0-9, - and _."""
    return secrets.token_urlsafe(32)


def successor(secret: str, key: bytes) -> str:
    """Return the refresh token that takes the place of a used one: the same each time, and not to be guessed.

    So of two requests that use it at the same moment each gets the one that works from then on.
    """
    made = hmac.new(key, b"successor " + secret.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def new_identifier() -> str:
    """Return 128 random bits, for what is unguessable but no secret, such as a client_id."""
    return secrets.token_hex(16)


def fingerprint(secret: str) -> str:
    """Return what is stored in place of a secret: with 256 random bits behind it, one SHA-256 cannot be undone."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Return whether the secret is the one whose fingerprint was stored, in a time that tells nothing."""
    return hmac.compare_digest(fingerprint(secret), stored)
