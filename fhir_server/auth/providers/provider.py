"""What the operator configures of an outside identity provider: where it is, and what its claims mean here.

https://openid.net/specs/openid-connect-core-1_0.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic import model_validator as checked

from fhir_server.auth.accounts.user import Role
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.errors import BadRequest
from fhir_server.r4.ids import ID_PATTERN

_ID = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_LOCATION = re.compile(rf"Location/{ID_PATTERN}")
_MOST_PROVIDERS = 50

Claim: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
"""The name of a claim; where there is none of that name, its dots lead into objects, as in realm_access.roles."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IdentifierClaim(_Part):
    """A claim whose value is an identifier of the person's resource, and the system of that identifier."""

    claim: Claim
    system: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[a-z][a-z0-9+.-]*:\S+$")]


class AccountMapping(_Part):
    """What the claims of who signs in mean here."""

    groups_claim: Claim = "groups"
    roles: dict[str, Role] = Field(default_factory=dict)
    """The role by group; of several the highest counts, and staff in none of them are not let in."""
    clinics: dict[str, str] = Field(default_factory=dict)
    """The clinic by group, as Location/ID; a practitioner works at those of the groups, and at no others of these."""
    practitioner: IdentifierClaim | None = None
    create_practitioners: bool = False
    """Whether a Practitioner is made where none has the identifier."""
    patient: IdentifierClaim | None = None
    trust_patient_identifier: bool = False
    """Whether the provider vouches for the patient's identifier, so that an account may be opened by it."""

    @field_validator("clinics")
    @classmethod
    def _are_locations(cls, clinics: dict[str, str]) -> dict[str, str]:
        if not all(_LOCATION.fullmatch(place) for place in clinics.values()):
            raise ValueError("a clinic is named as Location/ID")
        return clinics

    @checked(mode="after")
    def _knows_whom(self) -> AccountMapping:
        if "patient" in self.roles.values():
            raise ValueError("roles: patients come by the claim of their identifier, not by a group")
        if "practitioner" in self.roles.values() and self.practitioner is None:
            raise ValueError(
                "practitioner: the role practitioner needs the claim that has the Practitioner's identifier"
            )
        if self.trust_patient_identifier and self.patient is None:
            raise ValueError("patient: there is no claim to trust")
        return self


class TokenMapping(_Part):
    """Which access tokens of the provider are taken at this server's FHIR base, and what their claims mean here.

    https://www.rfc-editor.org/rfc/rfc9068, https://www.rfc-editor.org/rfc/rfc7662
    """

    audiences: tuple[str, ...] = ()
    """What `aud` must hold one of; without any it is the FHIR base."""
    introspection: bool = False
    """Whether tokens that are no JWT are asked about at the provider."""
    introspection_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long its answer is kept."""
    scope_claim: Claim = "scope"
    scopes: dict[str, str] = Field(default_factory=dict)
    """SMART scopes by the provider's own words, in place of these; words that are SMART scopes need none."""
    fhir_user_claim: Claim = "fhirUser"
    trust_fhir_user: bool = False
    """Whether the provider vouches for the claim, so that a subject without an account here is that resource."""
    patient_claim: Claim = "patient"
    encounter_claim: Claim = "encounter"
    trust_launch: bool = False
    """Whether the provider vouches for the patient and encounter of a launch."""
    machine_clients: tuple[str, ...] = ()
    """The clients that act for themselves, by `system/` scopes; no other's token has any."""
    capabilities: tuple[str, ...] = (
        "client-confidential-symmetric",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
    )
    """What of SMART it can do, where it is the authorization server that discovery tells of."""

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, scopes: dict[str, str]) -> dict[str, str]:
        if not all(parse_scopes(text) for text in scopes.values()):
            raise ValueError("each of its words stands for SMART scopes such as user/*.rs")
        return scopes


class Provider(_Part):
    """An outside identity provider."""

    id: Annotated[str, Field(pattern=f"^{_ID}$")]
    """Its name in URLs of this server."""
    name: Annotated[str, Field(min_length=1, max_length=60)]
    """What its button says."""
    issuer: Annotated[str, Field(max_length=1000)]
    internal: bool = False
    """Whether it is in the operator's own network: then it is asked at its own origin there, by http, too."""
    client_id: Annotated[str, Field(min_length=1, max_length=500)]
    client_secret: SecretStr | None = None
    authentication: Literal["client_secret_basic", "client_secret_post", "none"] = "client_secret_basic"
    scope: Annotated[str, Field(max_length=1000)] = "openid profile"
    sign_in: bool = True
    """Whether users sign in with it."""
    userinfo: bool = False
    """Whether claims are also asked for at its userinfo endpoint."""
    accounts: AccountMapping = Field(default_factory=AccountMapping)
    tokens: TokenMapping | None = None
    """What its access tokens mean here; None where none are taken."""

    @field_validator("name")
    @classmethod
    def _is_printable(cls, name: str) -> str:
        if not name.strip() or not name.isprintable():
            raise ValueError("it needs printable characters")
        return name

    @field_validator("issuer")
    @classmethod
    def _is_url(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if (
            parts.scheme not in ("https", "http")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise ValueError(
                "it is an https URL without query and fragment, as the provider's discovery document has it"
            )
        return issuer

    @field_validator("scope")
    @classmethod
    def _asks_openid(cls, scope: str) -> str:
        if "openid" not in scope.split():
            raise ValueError("openid is one of them")
        return scope

    @checked(mode="after")
    def _can_authenticate(self) -> Provider:
        if self.issuer.startswith("http:") and not self.internal:
            raise ValueError("issuer: only a provider that is internal may be asked by http")
        if (self.client_secret is None) != (self.authentication == "none"):
            raise ValueError(
                "client_secret: it goes with client_secret_basic and client_secret_post, and only with these"
            )
        return self

    @property
    def secret(self) -> str | None:
        """The client's secret in clear."""
        return self.client_secret.get_secret_value() if self.client_secret is not None else None


_PROVIDERS = TypeAdapter(tuple[Provider, ...])


def parse_provider(document: object) -> Provider:
    """Return the provider that a JSON document describes; raises BadRequest, which names places and no values."""
    try:
        return Provider.model_validate(document)
    except ValidationError as error:
        raise BadRequest(_faults(error)) from error


def parse_providers(text: bytes) -> tuple[Provider, ...]:
    """Return the providers of a JSON list; raises BadRequest."""
    try:
        providers = _PROVIDERS.validate_json(text)
    except ValidationError as error:
        raise BadRequest(_faults(error)) from error
    require_distinct(providers)
    return providers


def require_distinct(providers: Iterable[Provider]) -> None:
    """Raise BadRequest where two have one id or one issuer: a token would be the word of either."""
    listed = list(providers)
    if len(listed) > _MOST_PROVIDERS:
        raise BadRequest(f"There are at most {_MOST_PROVIDERS} identity providers.")
    for names in ([each.id for each in listed], [each.issuer for each in listed]):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise BadRequest(f"Two identity providers are called {min(twice)!r}.", code="duplicate")


def _faults(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'the provider'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_input=False, include_url=False)
    ]
    return f"The identity provider cannot be used: {'; '.join(faults[:10])}."
