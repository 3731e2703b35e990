"""Password hashes of other systems: which open an account, and which never can."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher

from fhir_server.auth.accounts.passwords import is_slow_hash, is_usable, verify_password

# With salts of their own, which name the tests: so every worker collects the same.
ARGON2 = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse", salt=b"a salt of 16 b..")
BCRYPT = bcrypt.hashpw(b"correct horse", b"$2b$04$abcdefghijklmnopqrstuu").decode()


@pytest.mark.parametrize("stored", [ARGON2, BCRYPT, BCRYPT.replace("$2b$", "$2y$"), BCRYPT.replace("$2b$", "$2a$")])
async def test_hashes_that_hold(stored: str) -> None:
    """Argon2 and bcrypt in all its spellings open the account to the right password only."""
    assert is_usable(stored)
    assert await verify_password("correct horse", stored)
    assert not await verify_password("wrong horse", stored)


@pytest.mark.parametrize(
    "stored",
    ["", "!", "correct horse", "5f4dcc3b5aa765d61d8327deb882cf99", "$1$salt$x", "$2b$04$abc", "$argon2id$abc",
     BCRYPT.replace("$04$", "$15$"), BCRYPT.replace("$04$", "$03$"), BCRYPT + "\n", ARGON2.replace("m=8", "m=4194304"),
     ARGON2.replace("t=1", "t=1000000"), ARGON2.replace("p=1", "p=200")],
)  # fmt: skip
async def test_what_opens_nothing(stored: str) -> None:
    """Clear text, other hashes, broken ones and those that cost too much are no password, not even their own text."""
    assert not is_usable(stored)
    assert not await verify_password("correct horse", stored)
    assert not stored or not await verify_password(stored, stored)


def test_only_slow_hashes_are_kept() -> None:
    """What claims to be slow to guess may be stored though it opens nothing; a clear text or MD5 may not."""
    assert is_slow_hash("$2b$04$abc")
    assert is_slow_hash(ARGON2.replace("m=8", "m=4194304"))
    assert not is_slow_hash("hunter2")
    assert not is_slow_hash("$1$salt$x")
