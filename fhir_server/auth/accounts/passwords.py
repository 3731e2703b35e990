"""Passwords: argon2id with 19 MiB, two passes and one lane, as OWASP advises; about 40 ms of a thread's time.

Hashes that came with the accounts of another system may be bcrypt's; those passwords hold, too.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.auth.accounts.password_policy import LONGEST

_BCRYPT = ("$2a$", "$2b$", "$2y$")
_WHOLE_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}")
# Beyond these a hash of another system would cost more to check than a sign-in may: seconds, or much memory.
_MOST_BCRYPT_COST = 14
_MOST_ARGON2_MEMORY = 256 * 1024  # KiB
_MOST_ARGON2_WORK = 1024 * 1024  # KiB times passes
_MOST_ARGON2_LANES = 16

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


def is_slow_hash(stored: str) -> bool:
    """Return whether it claims to be a hash that is slow to guess: bcrypt's or argon2's, whole or not."""
    return stored.startswith((*_BCRYPT, "$argon2"))


def is_usable(stored: str) -> bool:
    """Return whether a password can be checked against this hash, at a cost that a sign-in may have."""
    if bcrypt_hash := _WHOLE_BCRYPT.fullmatch(stored):
        return 4 <= int(bcrypt_hash["cost"]) <= _MOST_BCRYPT_COST
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return False
    memory, lanes = parameters.memory_cost, parameters.parallelism
    work = memory * parameters.time_cost
    return memory <= _MOST_ARGON2_MEMORY and work <= _MOST_ARGON2_WORK and 0 < lanes <= _MOST_ARGON2_LANES


def _verify(password: str, stored: str | None) -> bool:
    if stored is None or not is_usable(stored):
        # Who has no password that holds is told so as late as everybody else.
        _verify_argon2(password, _nobody())
        return False
    return (_verify_bcrypt if stored.startswith(_BCRYPT) else _verify_argon2)(password, stored)


def _verify_argon2(password: str, stored: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _verify_bcrypt(password: str, stored: str) -> bool:
    try:
        # Whatever made the hash has read no more than these bytes.
        return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:72], stored.encode())
    except ValueError:
        return False
