"""One-time codes of a second factor: those of an authenticator app (TOTP), and recovery codes for when it is lost.

https://www.rfc-editor.org/rfc/rfc6238
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time

import pyotp

STEP_SECONDS = 30
RECOVERY_CODES = 10
_WINDOW = (0, -1, 1)
"""Steps in which a code counts: that of now, and its neighbours, for a clock that is a little off."""
_CODE = re.compile(r"[0-9]{6}")
_RECOVERY = re.compile(r"[a-z2-7]{10}")
_LONGEST = 40


def new_secret() -> str:
    """Return the secret of a new authenticator, 160 bits in base32."""
    return str(pyotp.random_base32())


def uri(secret: str, username: str, issuer: str) -> str:
    """Return what an authenticator app reads from the QR code."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=issuer))


def step_of(secret: str, code: str, now: float | None = None) -> int | None:
    """Return the step of time that the code belongs to; None for one that is not right now.

    A step counts once: whoever takes the code must refuse a step that is not later than the last one.
    """
    digits = written(code)
    if not _CODE.fullmatch(digits):
        return None
    current = int(time.time() if now is None else now) // STEP_SECONDS
    totp, matching = pyotp.TOTP(secret), None
    for offset in _WINDOW:  # all of them, so that the time tells nothing
        if hmac.compare_digest(str(totp.generate_otp(current + offset)), digits):
            matching = current + offset
    return matching


def new_recovery_codes() -> list[str]:
    """Return codes of 50 random bits each, as people write them down."""
    return [_spelled(base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]) for _ in range(RECOVERY_CODES)]


def recovery_fingerprint(code: str, key: bytes) -> str | None:
    """Return what is stored in place of a recovery code, under a key that is not in the database; None for no code."""
    plain = written(code)
    return hmac.new(key, plain.encode(), hashlib.sha256).hexdigest() if _RECOVERY.fullmatch(plain) else None


def written(code: str) -> str:
    """Return a code without what people put between its parts."""
    return re.sub(r"[\s-]", "", code[:_LONGEST]).lower()


def _spelled(code: str) -> str:
    return f"{code[:5]}-{code[5:]}"
