"""The facade's pure rules: passwords, addresses, spans, ranges of bytes, problems and their texts."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from fhir_server.auth.accounts.password_policy import weakness
from fhir_server.errors import Conflict, FhirError, Forbidden, Gone, NotFound, Unauthorized
from fhir_server.hospital.api import fields, spans
from fhir_server.hospital.api.problem import Problem, answer, problem_of
from fhir_server.hospital.records import file_range
from fhir_server.hospital.records.document_files import DocumentFile
from fhir_server.store.resources.contents import HeldContent
from mappings.catalogue import availability

FILE = DocumentFile("text/plain", HeldContent(b"0123456789"), '"etag"')


@pytest.mark.parametrize(
    ("password", "weak"),
    [
        ("short1!", "password_short"),
        ("x" * 257, "password_long"),
        ("aaaaaaaaaaaa", "password_common"),
        ("1234567890", "password_common"),
        ("0987654321", "password_common"),
        ("Password123!", "password_common"),
        ("P@ssw0rd2024", "password_common"),
        ("qwertyuiop1", "password_common"),
        ("contraseña1", "password_common"),
        ("hahahahaha1", "password_common"),
        ("my-Lindqvist-9", "password_personal"),
        ("MARA.LIND rocks", "password_personal"),
        ("korrekt horse 42 staple", None),
        ("Tr0ub4dor&3xyz", None),
        ("ñandú-volador-7", None),
    ],
)
def test_passwords(password: str, weak: str | None) -> None:
    """Short, common and personal passwords are refused, whatever digits and signs decorate them."""
    assert weakness(password, ["Mara", "Lindqvist", "mara.lind@example.org", "mara.lind"]) == weak


@pytest.mark.parametrize(
    ("name", "weak"), [("Ana", None), ("Li", None), ("Mara", "password_personal"), ("Ñúñez", "password_personal")]
)
def test_names_in_passwords(name: str, weak: str | None) -> None:
    """A name of four letters or more is found in any spelling; shorter ones are in many words."""
    assert weakness(f"quite {name.upper()} lilac 77", [name]) == weak


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("José", "quite jose lilac 77"),
        ("Jose", "quite JOSÉ lilac 77"),
        ("Müller", "quite MULLER lilac 77"),
        ("O'Brien-Smith", "quite smith lilac 77"),
        ("O\u2019Brien", "quite brien lilac 77"),
        ("Garcia-Lorca", "quite garcia-lorca 77"),
        ("Li Smith", "quite smith lilac 77"),
    ],
)
def test_names_without_their_accents_and_their_parts(name: str, password: str) -> None:
    """Accents do not tell a name from the same without, and of a double name each part is one."""
    assert weakness(password, [name]) == "password_personal"


def test_marks_alone_are_no_password() -> None:
    """What is left without accents is judged, and it must be long enough."""
    assert weakness("\u0301" * 20) == "password_short"
    assert weakness("a\u0301" * 5) == "password_short"


@pytest.mark.parametrize(
    ("written", "number"),
    [("+1 (207) 555-0161", "+12075550161"), ("+34 612 345 678", "+34612345678"), ("+12075550161", "+12075550161")],
)
def test_phone_numbers(written: str, number: str) -> None:
    """A number is the same however it is written."""
    assert fields.phone(written) == number


@pytest.mark.parametrize("start", ["00010101T000000", "99991231T235959", "20261399T000000"])
def test_ids_of_slots_beyond_the_calendar(start: str) -> None:
    """An id that stands for no day of every zone's calendar is that of no opening."""
    assert availability.computed_start(f"at-{start}Z-0123456789abcdef") is None


@pytest.mark.parametrize("written", ["", "555", "2075550161", "+0", "call me"])
def test_what_is_no_phone_number(written: str) -> None:
    """A number without its country, or no number at all, is refused."""
    with pytest.raises(ValueError, match="phone"):
        fields.phone(written)


@pytest.mark.parametrize("written", ["x", "@example.org", "a@", "a b@example.org", "a@b@example.org", "a@-x.org"])
def test_what_is_no_address(written: str) -> None:
    """What is no address is refused."""
    with pytest.raises(ValueError, match="email"):
        fields.email(written)


def test_a_day_of_a_clock() -> None:
    """A day lasts from midnight to midnight on its own clock, 23 hours when the clock is set forward."""
    clock = ZoneInfo("America/New_York")
    span = spans.days_between(date(2026, 3, 8), date(2026, 3, 8), clock)
    assert (span.end - span.start).total_seconds() == 23 * 3600
    assert span.days == [date(2026, 3, 8)]


def test_moments_bound_exactly() -> None:
    """A moment as `to` is not included, and the days of a span are those it touches."""
    start, end = datetime(2026, 3, 9, 23, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
    span = spans.days_between(start, end, ZoneInfo("UTC"))
    assert (span.start, span.end, span.days) == (start, end, [date(2026, 3, 9)])


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        (None, 200, b"0123456789"),
        ("bytes=0-0", 206, b"0"),
        ("bytes=5-", 206, b"56789"),
        ("bytes=-20", 206, b"0123456789"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
async def test_ranges(header: str | None, status: int, body: bytes) -> None:
    """A range is answered with that part, and what is no range with the whole."""
    headers = [(b"range", header.encode())] if header else []
    answered = await file_range.response(Request({"type": "http", "headers": headers}), FILE, {})
    assert (answered.status_code, await _body(answered)) == (status, body)


async def test_several_ranges() -> None:
    """Several ranges are answered with a body of as many parts."""
    request = Request({"type": "http", "headers": [(b"range", b"bytes=0-1,5-6")]})
    answered = await file_range.response(request, FILE, {})
    assert answered.status_code == 206
    assert answered.headers["content-type"].startswith("multipart/byteranges")
    body = await _body(answered)
    assert b"\r\n\r\n01\r\n" in body
    assert b"\r\n\r\n56\r\n" in body


async def _body(response: Response) -> bytes:
    """Return what a response, streamed or not, sends as its body."""
    pieces: list[bytes] = []

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        pieces.append(message.get("body", b""))

    await response({"type": "http"}, receive, send)
    return b"".join(pieces)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_ranges_outside(header: str) -> None:
    """A range outside of the file cannot be satisfied."""
    request = Request({"type": "http", "headers": [(b"range", header.encode())]})
    with pytest.raises(Problem) as caught:
        await file_range.response(request, FILE, {})
    assert caught.value.problem == "range_not_satisfiable"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("Patient/1 does not exist."), "not_found"),
        (Gone("Patient/1 was deleted."), "not_found"),
        (Forbidden("x"), "forbidden"),
        (Unauthorized("x"), "invalid_token"),
        (Conflict("x"), "conflict"),
        (FhirError("secret"), "internal_error"),
        (Problem("slot_taken"), "slot_taken"),
    ],
)
def test_errors_of_the_inside(error: FhirError, code: str) -> None:
    """An error of the FHIR layer becomes a problem by its status, and its text stays inside."""
    problem = problem_of(error)
    assert problem.problem == code
    assert b"secret" not in bytes(answer(problem, "en").body)
    assert b"Patient/1" not in bytes(answer(problem, "en").body)
