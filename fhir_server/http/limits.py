"""How much one caller's request may be: the settings, cut down for who sees the record of one patient only.

docs/decisions/0008-budgets.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.engine.access import Access
from fhir_server.errors import TooLarge
from fhir_server.http.client_address import client_address
from fhir_server.settings import Settings
from fhir_server.work.budget import Budget, current, working


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one class of callers."""

    seconds: float
    """Processor time of a request."""
    values: int
    """JSON values or XML elements of a body."""
    bundle_values: int
    """The same of a batch or transaction."""
    body_bytes: int
    """A body's size, its compression undone."""
    depth: int
    """Nesting of JSON or XML."""
    parameters: int
    """Parameters of a URL or a form."""
    waiting: int
    """Requests of the caller that wait for a thread."""
    database_seconds: float
    """What each search may take in the database."""

    def require_few_values(self, body: bytes, *, xml: bool, bundle: bool) -> None:
        """Raise TooLarge where a body has more values than it may have, counted by the marks between them.

        A mark within a text counts, too: so the count costs next to nothing, and no text has that many.
        """
        limit = self.bundle_values if bundle else self.values
        marks = b"<" if xml else b",[{"
        if sum(body.count(bytes((mark,))) for mark in marks) > limit * (2 if xml else 1):
            name = "max_bundle_values" if bundle else "max_body_values"
            raise TooLarge(f"The body has more than {limit} values ({name}).", code="too-costly")


def limits_of(settings: Settings, access: Access) -> Limits:
    """Return the limits of a caller."""
    share = settings.patient_share if _sees_one_patient(access) else 1
    return Limits(
        seconds=settings.max_request_seconds * share,
        values=int(settings.max_body_values * share),
        bundle_values=int(settings.max_bundle_values * share),
        body_bytes=settings.max_body_bytes,
        depth=settings.max_depth,
        parameters=settings.max_parameters,
        waiting=max(1, int(settings.max_waiting_requests * share)),
        database_seconds=settings.max_database_seconds * share,
    )


def _sees_one_patient(access: Access) -> bool:
    token = getattr(access, "token", None)
    if token is None:
        return False
    wide = {"system"} if token.role == "patient" else {"system", "user"}
    return not any(scope.level in wide for scope in token.scopes.resources)


def caller_of(scope: Scope, access: Access | None = None) -> str:
    """Return who a request is counted for: the user, the client, or where nobody signed in the address.

    One person has one share, whatever apps and patients the tokens are for.
    """
    token: BearerToken | None = getattr(access, "token", None)
    if token is None or not token.scopes.resources:
        return client_address(scope).text
    return token.subject


def count_for(scope: Scope, access: Access) -> None:
    """Count the request in progress for who has turned out to send it."""
    budget = current()
    if budget is not None:
        budget.caller = caller_of(scope, access)


class Budgeted:
    """Gives each request a budget; the FHIR surface gives its own, when it knows who calls."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        settings = self.settings
        budget = Budget(
            settings.max_request_seconds,
            caller=caller_of(scope),
            most_waiting=settings.max_waiting_requests,
            database_seconds=settings.max_database_seconds,
        )
        with working(budget):
            await self.app(scope, receive, send)
