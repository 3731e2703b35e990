"""The device cookie: a device that has signed in to an account before is not locked out of it by strangers.

It gives no access, only a count of failures of its own; the app and the pages of the authorization server share it.
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.tokens.secrets import new_secret

COOKIE = "fhir_device"
_SECONDS = 365 * 24 * 3600


def device_of(request: Request, key: bytes, account: User | None) -> str | None:
    """Return the name of the device where the account's owner has signed in with it before, else None."""
    nonce, _, proof = request.cookies.get(COOKIE, "").partition(".")
    if account is None or not nonce:
        return None
    return nonce if hmac.compare_digest(proof.encode(), _proof(key, account, nonce).encode()) else None


def set_device(response: Response, key: bytes, account: User, *, secure: bool) -> None:
    """Let the device prove later that this user has signed in with it."""
    nonce = new_secret()
    value = f"{nonce}.{_proof(key, account, nonce)}"
    response.set_cookie(COOKIE, value, max_age=_SECONDS, path="/", httponly=True, samesite="lax", secure=secure)


def _proof(key: bytes, account: User, nonce: str) -> str:
    text = f"device\x00{account.id}\x00{nonce}".encode("utf-8", "replace")
    return hmac.new(key, text, hashlib.sha256).hexdigest()


_LONGEST_NAME = 300
_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def device_name(request: Request) -> str:
    """Return what kind of browser a request says that it comes from, such as "Firefox, Windows"; empty for others.

    Nothing rests on it: it helps people to tell their own sessions apart.
    """
    agent = request.headers.get("user-agent", "")[:_LONGEST_NAME]
    names = (next((name for sign, name in names if sign in agent), "") for names in (_BROWSERS, _SYSTEMS))
    return ", ".join(filter(None, names))
