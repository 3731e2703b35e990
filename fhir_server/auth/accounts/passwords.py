"""Passwords: argon2id with 19 MiB, two passes and one lane, as OWASP advises; about 40 ms of a thread's time.

Hashes that came with the accounts of another system may be bcrypt's; those passwords hold, too.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.auth.accounts.password_policy import LONGEST

_BCRYPT = ("$2a$", "$2b$", "$2y$")

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Each hash holds 19 MiB: a few at once are enough, the others wait.
_threads = ThreadPoolExecutor(4, "password")


@cache
def _nobody() -> str:
    return _hasher.hash("the password of no user")


async def hash_password(password: str) -> str:
    """Return the hash to store; computed in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, stored: str | None) -> bool:
    """Return whether the password is the stored one; of a user who does not exist (None) it takes as long to tell."""
    if len(password) > LONGEST:
        password = ""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _verify, password, stored) and stored is not None


def _verify(password: str, stored: str | None) -> bool:
    if stored is not None and stored.startswith(_BCRYPT):
        return _verify_bcrypt(password, stored)
    try:
        return _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


def _verify_bcrypt(password: str, stored: str) -> bool:
    try:
        # Whatever made the hash has read no more than these bytes.
        return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:72], stored.encode())
    except ValueError:
        return False
