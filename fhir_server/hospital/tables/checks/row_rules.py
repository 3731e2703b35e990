"""What one row alone must hold, beyond the types of its columns. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fhir_server.auth.accounts import login_names, passwords
from fhir_server.hospital.tables.checks.findings import Finding, left_out, noted
from mappings.accounts.user_family import FamilyMember
from mappings.accounts.users import User
from mappings.billing.payments import Payment
from mappings.booking.appointments import Appointment
from mappings.catalogue.clinics import Clinic
from mappings.catalogue.doctors import Doctor
from mappings.catalogue.specialties import Specialty
from mappings.insurance.insurance import Policy
from mappings.notifications.notifications import Notification
from mappings.records.medical_documents import MedicalDocument
from mappings.shared.money import Money
from mappings.shared.rows import Row
from mappings.shared.zones import is_zone
from mappings.visits.visit_tracking import Visit

_LONGEST_LIFE = 130
_LONGEST_CAREER = 80
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_FILE_SCHEMES = frozenset({"http", "https", "ftp", "ftps", "sftp", "s3", "gs"})
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(?:;.*)?")
_NOBODYS = "names nobody, and the source's schema wants a row there"


def findings(row: Row) -> list[Finding]:
    """Return what is wrong with the row or odd in it."""
    return [*_times(row), *_RULES.get(type(row), _nothing)(row)]


def _nothing(_: Any) -> Iterator[Finding]:
    yield from ()


def _times(row: Row) -> Iterator[Finding]:
    made, changed, gone = row.created_at, row.updated_at, row.deleted_at
    if made and changed and changed < made:
        yield noted("updated_at", "is before created_at")
    if made and gone and gone < made:
        yield noted("deleted_at", "is before created_at")
    soon = datetime.now(UTC) + timedelta(days=1)
    for column, moment in (("created_at", made), ("updated_at", changed), ("deleted_at", gone)):
        if moment and moment > soon:
            yield noted(column, "is in the future")


def _present(row: Row, *columns: str) -> Iterator[Finding]:
    for column in columns:
        if getattr(row, column) is None:
            yield noted(column, _NOBODYS)


def _birth(column: str, day: date | None) -> Iterator[Finding]:
    today = datetime.now(UTC).date()
    if day and day > today + timedelta(days=1):
        yield noted(column, "is a birth in the future")
    elif day and today.year - day.year > _LONGEST_LIFE:
        yield noted(column, f"is a birth more than {_LONGEST_LIFE} years ago")


def _email(row: Clinic | Doctor) -> Iterator[Finding]:
    try:
        if row.email is not None:
            login_names.email(row.email)
    except ValueError:
        yield noted("email", "is no address")


def _picture(column: str, url: str | None) -> Iterator[Finding]:
    if url is None or _PICTURE.fullmatch(url):
        return
    if reason := _unsafe(url, frozenset({"http", "https"})):
        yield left_out(column, reason)


def _unsafe(url: str, schemes: frozenset[str]) -> str | None:
    """Return why a URL is none that may be opened; a path without a scheme is fine."""
    if url.startswith(("//", "\\")) or "\\" in url:
        return "is no path and no URL"
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in schemes:
        return f"has a scheme that is none of {', '.join(sorted(schemes))}"
    return None


def _amount(column: str, money: Money) -> Iterator[Finding]:
    if money.amount < 0:
        yield Finding(column, "is a negative amount")
    elif money.amount and not money.payable:
        yield noted(column, "is finer than the smallest unit of its currency")


def _clinic(row: Clinic) -> Iterator[Finding]:
    for column, most in (("latitude", 90), ("longitude", 180)):
        degrees = getattr(row, column)
        if degrees is not None and abs(degrees) > most:
            yield Finding(column, f"is not between -{most} and {most}")
    if row.timezone is not None and not is_zone(row.timezone):
        yield Finding("timezone", "is no IANA time zone, and the clinic's appointments are on its clock")
    yield from _email(row)


def _specialty(row: Specialty) -> Iterator[Finding]:
    yield from _present(row, "clinic_id")
    if row.fee:
        yield from _amount("fee_amount", row.fee)


def _doctor(row: Doctor) -> Iterator[Finding]:
    if row.experience_years and row.experience_years > _LONGEST_CAREER:
        yield noted("experience_years", f"is more than {_LONGEST_CAREER} years")
    yield from _picture("photo", row.photo)
    yield from _email(row)


def _user(row: User) -> Iterator[Finding]:
    if row.timezone is not None and not is_zone(row.timezone):
        yield left_out("timezone", "is no IANA time zone")
    if row.language is not None and not _LANGUAGE.fullmatch(row.language):
        yield left_out("language", "is no language code")
    yield from _picture("profile_picture", row.profile_picture)
    yield from _birth("date_of_birth", row.date_of_birth)
    yield from _password(row.password_hash)


def _password(stored: str | None) -> Iterator[Finding]:
    if stored is None or passwords.is_usable(stored):
        return
    reset = "nobody can sign in with it before the password is reset"
    if passwords.is_slow_hash(stored):
        yield noted("password_hash", f"is no whole hash, or one that costs too much to check: {reset}")
    else:
        yield left_out("password_hash", f"is no argon2 or bcrypt hash, but a text or what is soon guessed: {reset}")


def _family(row: FamilyMember) -> Iterator[Finding]:
    yield from _present(row, "user_id")
    yield from _birth("dob", row.dob)


def _policy(row: Policy) -> Iterator[Finding]:
    yield from _present(row, "user_id")
    if row.valid_from and row.valid_until and row.valid_until < row.valid_from:
        yield Finding("valid_until", "is before valid_from")


def _appointment(row: Appointment) -> Iterator[Finding]:
    yield from _present(row, "user_id", "doctor_id", "clinic_id")
    if row.follows == row.id:
        yield Finding("follows", "is the appointment itself")


def _payment(row: Payment) -> Iterator[Finding]:
    yield from _amount("amount", Money(amount=row.amount, currency=row.currency))


def _document(row: MedicalDocument) -> Iterator[Finding]:
    yield from _present(row, "user_id")
    if row.file_url is not None and (reason := _unsafe(row.file_url, _FILE_SCHEMES)):
        yield Finding("file_url", reason)
    if row.content_type is not None and not _MEDIA_TYPE.fullmatch(row.content_type):
        yield left_out("content_type", "is no media type")


def _notification(row: Notification) -> Iterator[Finding]:
    yield from _present(row, "user_id")


def _visit(row: Visit) -> Iterator[Finding]:
    if row.check_in_time and row.check_out_time and row.check_out_time < row.check_in_time:
        yield Finding("check_out_time", "is before check_in_time")
    if row.check_out_time and not row.check_in_time:
        yield noted("check_in_time", "is not known, but check_out_time is")


_RULES: dict[type[Row], Callable[[Any], Iterator[Finding]]] = {
    Clinic: _clinic,
    Specialty: _specialty,
    Doctor: _doctor,
    User: _user,
    FamilyMember: _family,
    Policy: _policy,
    Appointment: _appointment,
    Payment: _payment,
    MedicalDocument: _document,
    Notification: _notification,
    Visit: _visit,
}


def without(row: Row, concerning: Sequence[Finding]) -> Row:
    """Return the row without the values that are left out."""
    columns = [finding.column for finding in concerning if finding.left_out]
    return row.model_copy(update=dict.fromkeys(columns)) if columns else row
