"""What becomes known of a request on its way: who is behind it, what was asked of FHIR for it, what it was about.

Whoever learns something notes it on `seen()`; the record of the access is made of that.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from fhir_server.audit.bundle_entries import bundle_entries
from fhir_server.audit.records import Detail, EntryRecord
from fhir_server.auth.accounts.user import User
from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.engine.context import Ask, Request, Response
from fhir_server.engine.disclosure import Disclosure
from fhir_server.errors import FhirError

_MOST_ENTRIES = 10_000


@dataclass(slots=True)
class AuditContext:
    """What is known of one request."""

    client: str = ""
    user: str = ""
    username: str = ""
    fhir_user: str = ""
    patient: str = ""
    reason: str = ""
    """Why it was refused, where the status does not tell."""
    failed: bool = False
    """Whether it was refused, whatever the status says: an app is told of a refusal by a redirect."""
    details: list[Detail] = field(default_factory=list)
    entries: list[EntryRecord] = field(default_factory=list)
    disclosure: Disclosure = field(default_factory=Disclosure)

    def by_user(self, user: User) -> None:
        """Note whose account it is, proven or only named."""
        self.user, self.username, self.fhir_user = user.id, user.username, user.fhir_user or ""
        self.patient = self.patient or user.patient or ""

    def by_token(self, token: BearerToken) -> None:
        """Note for whom a token acts."""
        self.client, self.user, self.username = token.client_id, token.user_id or "", token.username or ""
        self.fhir_user, self.patient = token.fhir_user or "", token.context.patient or ""

    def refused(self, reason: str) -> None:
        """Note that it was refused."""
        self.failed, self.reason = True, reason

    def about(self, **details: object) -> None:
        """Note facts by name; those that are empty are left out."""
        self.details += [(name.replace("_", "-"), str(value)) for name, value in details.items() if value]


current: ContextVar[AuditContext | None] = ContextVar("seen", default=None)


def seen() -> AuditContext:
    """Return what is known of the request being answered; nobody will read it where none is being recorded."""
    return current.get() or AuditContext()


def noted(ask: Ask) -> Ask:
    """Return the same way of asking FHIR, by which each interaction is noted with how it ended."""

    async def ask_noting(request: Request) -> Response:
        context = current.get()
        if context is None:
            return await ask(request)
        try:
            response = await ask(request)
        except FhirError as error:
            _note(context, request, None, error.status)
            raise
        _note(context, request, response, response.status)
        return response

    return ask_noting


def _note(context: AuditContext, request: Request, response: Response | None, status: int) -> None:
    if len(context.entries) >= _MOST_ENTRIES:
        return
    inner, _ = bundle_entries(request, response)
    if inner:
        context.entries += inner
        return
    query = "&".join(f"{name}={value}" for name, value in request.query)
    url = f"{request.path}?{query}" if query else request.path
    location = (response.location or "").partition("/_history")[0] if response else ""
    context.entries.append(EntryRecord(request.method, url, str(status), location))
