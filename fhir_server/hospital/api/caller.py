"""Who calls: the bearer of the access token, what that one may do, and the language and clock to answer in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from fhir_server.auth.permission.access import NoAccess, ScopedAccess
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.context import now
from fhir_server.errors import FhirError, Forbidden
from fhir_server.hospital.api.coverage import require_covered
from fhir_server.hospital.api.delegated_access import ActingAccess
from fhir_server.hospital.api.fhir import Fhir, version_of
from fhir_server.hospital.api.own_app import APP
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.api.remote import RemoteFhir
from fhir_server.hospital.api.server import FacadeServer, server_of
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.limits import count_for
from mappings.accounts import users
from mappings.shared import clinic_clock
from mappings.shared.elements import Resource
from translations.catalogue import SOURCE, Language
from translations.negotiation import choose_language, named_language

_SCHEME = HTTPBearer(auto_error=False, description="An access token of this server, from sign-up, login or SMART.")


@dataclass(slots=True)
class Caller:
    """One caller of one request."""

    server: FacadeServer
    token: BearerToken
    fhir: Fhir
    """FHIR as the token sees it."""
    acting: Fhir
    """FHIR as the facade sees it for the caller; what is another's is not there for it either."""
    public: Fhir
    """FHIR as everybody may see it, for what is nobody's: organizations, places, plans."""
    accept_language: str | None
    _patient: dict[str, Any] | None = None

    @property
    def patient_id(self) -> str:
        """The id of the caller's Patient; raises Problem for who is none."""
        if self.token.context.patient is None:
            raise Problem("forbidden")
        return self.token.context.patient

    @property
    def practitioner_id(self) -> str | None:
        """The id of the caller's Practitioner, for staff."""
        kind, _, resource_id = (self.token.fhir_user or "").partition("/")
        is_staff = kind == "Practitioner" and self.token.scopes.has_level("user")
        return resource_id if is_staff else None

    async def patient(self) -> dict[str, Any]:
        """Return the caller's Patient; raises Problem where it is gone."""
        if self._patient is None:
            self._patient = await self.fhir.read("Patient", self.patient_id)
        if self._patient is None:
            raise Problem("not_found")
        return self._patient

    async def user(self) -> users.User:
        """Return the caller's row."""
        return users.from_fhir(await self.patient())

    async def may_follow(self, resource: Resource, reference: str) -> bool:
        """Return whether whoever wrote the reference into this version had the right to what it leads to.

        On another server its own access decides, by the caller's token.
        """
        if self.server.remote is not None:
            return True
        version = await self.server.services.resources.read_version(
            resource["resourceType"], resource["id"], int(version_of(resource))
        )
        return version is not None and reference in version.links

    async def language(self) -> Language:
        """Return the language to speak: that of the request, else the user's own."""
        named = named_language(self.accept_language)
        if named is not None or not self.token.context.patient:
            return named or SOURCE
        return choose_language(None, (await self.user()).language)

    async def clock(self) -> ZoneInfo:
        """Return the user's clock, else that of the settings."""
        name = (await self.user()).timezone if self.token.context.patient else None
        return clinic_clock.named(name, self.server.settings.default_timezone)


async def caller(request: Request, _scheme: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]) -> Caller:
    """Return the caller; raises Unauthorized without a valid token."""
    request.state.caller = None
    request.state.caller = bearer = await _bearer(request)  # so that an error speaks the user's language, too
    if bearer.server.remote is None:
        require_covered(request, bearer.token.scopes)
    return bearer


async def language_of(request: Request) -> Language:
    """Return the language to tell an error in: that of the request, else that of the user who sent it.

    Who that is may not have been asked yet, when the error is one of the request's form.
    """
    named = named_language(request.headers.get("accept-language"))
    if named is not None:
        return named
    try:
        if not hasattr(request.state, "caller"):
            request.state.caller = None
            if "authorization" in request.headers:
                request.state.caller = await _bearer(request)
        user: Caller | None = request.state.caller
        return SOURCE if user is None else await user.language()
    except FhirError:
        return SOURCE  # an error is being told; that the user cannot be read does not change which


async def _bearer(request: Request) -> Caller:
    server = server_of(request)
    remote = server.remote
    return await (_caller_here(server, request) if remote is None else _caller_elsewhere(server, remote, request))


async def _caller_here(server: FacadeServer, request: Request) -> Caller:
    access = await server.authenticate(request.headers)
    if isinstance(access, NoAccess) or not isinstance(access, ScopedAccess):
        raise Problem("invalid_token")
    seen().by_token(access.token)
    count_for(request.scope, access)
    acting = ActingAccess(access)
    language = request.headers.get("accept-language")
    return Caller(server, access.token, server.fhir(access), server.fhir(acting), server.fhir(), language)


async def _caller_elsewhere(server: FacadeServer, remote: RemoteFhir, request: Request) -> Caller:
    """Return who calls with a token of another FHIR server, which alone knows what that one may do.

    Whose record is meant is what `patient` says, else the one Patient that the token shows.
    """
    authorization = request.headers.get("authorization", "")
    fhir = remote.of(authorization)
    if fhir is None:
        raise Problem("invalid_token")
    seen().client = remote.base_url
    patient = await _patient_meant(fhir, request.query_params.get("patient"))
    seen().patient = patient["id"]
    token = BearerToken(
        client_id=remote.base_url,
        scopes=parse_scopes(""),
        issued=now(),
        expires=now(),
        # Whatever is kept for a caller is kept for this token: another's is another caller, as far as we know.
        user_id=hashlib.sha256(authorization.partition(" ")[2].strip().encode()).hexdigest(),
        context=LaunchContext(patient=patient["id"]),
    )
    return Caller(server, token, fhir, fhir, fhir, request.headers.get("accept-language"), patient)


async def _patient_meant(fhir: Fhir, patient_id: str | None) -> dict[str, Any]:
    if patient_id is not None:
        patient = await fhir.read("Patient", patient_id)
        if patient is None:
            raise Problem("not_found")
        return patient
    try:
        patients = (await fhir.search("Patient", [("_count", "2")])).matches
    except Forbidden:
        patients = []
    if len(patients) != 1:
        raise invalid("patient", "which_patient")
    return patients[0]


def patient_parameter(
    patient: Annotated[
        str | None, Query(max_length=64, description="Whose record is meant, where the token shows several Patients.")
    ] = None,
) -> None:
    """Describe the parameter of a service whose callers have tokens of another server."""


Server = Annotated[FacadeServer, Depends(server_of)]
Called = Annotated[Caller, Depends(caller)]


def require_own_app(user: Caller) -> None:
    """Raise Problem unless the token is of the hospital's own app: the account is the person's, not an app's."""
    if user.token.client_id != APP:
        raise Problem("forbidden")


async def app_caller(user: Called) -> Caller:
    """Return the caller of the hospital's own app; raises Problem for a token of another app."""
    require_own_app(user)
    return user


AppCalled = Annotated[Caller, Depends(app_caller)]
