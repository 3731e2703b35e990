"""The names that people sign in with: email addresses and phone numbers, each in one form however it is typed.

A name is found, counted and claimed in the form that `login_name` returns, so that no spelling is a way around a limit.
"""

from __future__ import annotations

import unicodedata

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from fhir_server.auth.accounts.user import folded

LONGEST = 254
"""Characters of a name to sign in with; a longer one is nobody's."""


def email(text: str) -> str:
    """Return the address in its normal form; raises ValueError("email")."""
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError("email") from error


def phone(text: str) -> str:
    """Return the number as E.164; raises ValueError("phone")."""
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError("phone") from error
    if not phonenumbers.is_possible_number(number):
        raise ValueError("phone")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def email_name(address: str) -> str:
    """Return the name that a normal address signs in under."""
    return f"email:{folded(address)}"


def names_of(address: str | None, number: str | None) -> list[str]:
    """Return the names that a normal address and a normal number sign in under."""
    return [*([email_name(address)] if address else []), *([f"phone:{number}"] if number else [])]


def login_name(username: str) -> str | None:
    """Return the name that a typed text means, such as `email:ana@example.org`; None where it is neither kind."""
    text = unicodedata.normalize("NFKC", username).strip()
    if len(text) > LONGEST:
        return None
    try:
        return email_name(email(text)) if "@" in text else f"phone:{phone(text)}"
    except ValueError:
        return None


def counted_name(username: str) -> str:
    """Return what failures to sign in as this text are counted under: one for all spellings that find one account."""
    return (login_name(username) or "").partition(":")[2] or folded(username)[:LONGEST]
