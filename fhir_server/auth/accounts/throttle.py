"""How often a sign-in may fail before it must wait, per account and address, without locking anybody out.

Failures are counted under several names at once. An attacker at one address is slowed down there. Many addresses that
guess at one account are slowed down at that account, but a browser that its owner has signed in with before carries a
device cookie and has a count of its own, so the owner still gets in.
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import timedelta

WINDOW = timedelta(minutes=15)
"""Failures older than this are forgotten."""

_FREE_HERE = 5
_FREE_ADDRESS = 50
_FREE_ACCOUNT = 100
_FREE_MAILS = 5
_LONGEST_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Count:
    """One name that failures are counted under, and how many of them are free."""

    key: str
    free: int

    def wait(self, failures: int) -> int:
        """Return the seconds to wait since the last failure: doubling with each one that is not free."""
        over = failures - self.free
        return 0 if over < 0 else min(2 ** min(over, 10), _LONGEST_SECONDS)


def counts(username: str, address: str | None, device: str | None) -> tuple[Count, ...]:
    """Return what a sign-in is counted under; `device` names one that has signed in to the account before.

    Without the client's own address (None, behind a proxy that does not tell it) nothing is counted by address: it
    would lock out everybody behind the proxy.
    """
    account = _name("account", username)
    if device is not None:
        return (Count(_name("device", username, device), _FREE_HERE),)
    here = Count(_name("here", username, network(address or "")), _FREE_HERE)
    if address is None:
        return (here, Count(account, _FREE_ACCOUNT))
    return (here, Count(_name("address", network(address)), _FREE_ADDRESS), Count(account, _FREE_ACCOUNT))


def sign_ups(address: str, free: int) -> tuple[Count, ...]:
    """Return what a sign-up from an address of the network is counted under."""
    return (Count(_name("sign-up", network(address)), free),)


def registrations(address: str, free: int) -> tuple[Count, ...]:
    """Return what the registration of an app by itself is counted under."""
    return (Count(_name("registration", network(address)), free),)


def provider_sign_ins(address: str, free: int) -> tuple[Count, ...]:
    """Return what a sign-in with an outside provider is counted under when it begins."""
    return (Count(_name("provider", network(address)), free),)


def mails(address: str) -> tuple[Count, ...]:
    """Return what a mail is counted under that anybody can have sent to an address."""
    return (Count(_name("mail", address), _FREE_MAILS),)


def network(address: str) -> str:
    """Return what an address is counted as: of IPv6 the /64, as anybody there has all its addresses to try from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def _name(*parts: str) -> str:
    # Hashed, so that the database does not list who tried to sign in from where.
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()
