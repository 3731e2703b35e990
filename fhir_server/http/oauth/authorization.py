"""The authorization request of an app: checked, then carried from page to page as a sealed text.

Nothing is stored before the user has decided, so that requests of strangers cost no space.
https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from fhir_server.auth.accounts.login_names import LONGEST
from fhir_server.auth.accounts.user import User
from fhir_server.auth.clients.client import Client
from fhir_server.auth.clients.pkce import is_challenge
from fhir_server.auth.clients.redirects import is_registered, with_parameters
from fhir_server.auth.permission.scopes import EHR_LAUNCH, PLAIN_SCOPES, SIGN_IN_SCOPES, Scopes, parse_scopes
from fhir_server.auth.tokens.id_tokens import read_id_token
from fhir_server.auth.tokens.secrets import REQUEST_LIFETIME
from fhir_server.engine.search.page_token import seal, unseal
from fhir_server.errors import BadRequest
from fhir_server.http.oauth.server import AuthorizationServer
from fhir_server.store.accounts.sign_in import BrowserSession, Launch

_LONGEST_STATE = 4000
_LONGEST_SCOPE = 8000
_LONGEST_ACR_VALUES = 500
MULTI_FACTOR = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"
"""The class of who signs in here by a password and a second factor."""
UNMET = "unmet_authentication_requirements"
_FREE_SCOPES = PLAIN_SCOPES - {"offline_access", "online_access"}
"""What any app for users may ask for, whatever it is registered for: who the user is, and the context."""


PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_ANEW = frozenset({"login", "select_account"})
"""Who is to choose an account chooses it by signing in. Consent is asked for always."""
_SECONDS = re.compile(r"[0-9]{1,12}")


class Refusal(Exception):
    """The request is refused on a page: whoever sent the browser cannot be trusted with an answer. Named by a text."""


class Rejection(Exception):
    """The request is refused, and the app is told at its redirect URI."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Authorization:
    """A checked request of an app for a user's permission; `scopes` are those that the app may be given at all."""

    client_id: str
    redirect_uri: str
    scopes: str
    challenge: str
    state: str | None = None
    nonce: str | None = None
    launch: str | None = None
    patient: str | None = None
    """The patient that a practitioner picked."""
    encounter: str | None = None
    """The encounter that the user picked; empty where the user chose to go on without one."""
    language: str | None = None
    signed_in_since: float = 0
    """When the user must have signed in, or later, in seconds since 1970."""
    user_id: str | None = None
    """The user whom the app means by an id_token of ours."""
    login_hint: str = ""
    """What the user may sign in with, as the app believes."""
    anew: bool = False
    """Whether the user is to sign in once more, whenever that was before."""
    acr_values: str = ""
    """The classes of which the user's proof must have one, as words."""
    expires: float = 0
    sign_in_only: bool = False
    """Whether the app wants to know who the user is, and nothing of a FHIR server."""

    def sealed(self, server: AuthorizationServer) -> str:
        """Return the request as a text that only this server can read or make."""
        return seal(server.store.sealing_key, asdict(self))

    def answer_url(self, server: AuthorizationServer, **parameters: str | None) -> str:
        """Return the app's redirect URI with an answer, the state and the issuer."""
        return with_parameters(self.redirect_uri, {**parameters, "state": self.state, "iss": server.issuer})

    def with_patient(self, patient: str) -> Authorization:
        """Return the request with the patient picked."""
        return replace(self, patient=patient)

    def with_encounter(self, encounter: str) -> Authorization:
        """Return the request with the encounter picked, or with the choice of none."""
        return replace(self, encounter=encounter)

    def is_answered_by(self, user: User | None, session: BrowserSession | None) -> bool:
        """Return whether the user may decide as signed in; else somebody must sign in first, be it the same."""
        if user is None or session is None or self.user_id not in (None, user.id):
            return False
        return session.signed_in.timestamp() >= self.signed_in_since and self.has_class(session.proof.acr)

    def has_class(self, acr: str | None) -> bool:
        """Return whether a proof of that class is one that the app wants."""
        return not self.acr_values or acr in self.acr_values.split()

    def patient_for(self, user: User) -> str | None:
        """Return the patient that a launch without an EHR is about: patients work on themselves alone."""
        return user.patient if user.role == "patient" else self.patient


def unsealed(server: AuthorizationServer, text: str) -> Authorization:
    """Return the request that was sealed; raises Refusal for a text that was not, or that is too old."""
    try:
        authorization = Authorization(**unseal(server.store.sealing_key, text))
    except (BadRequest, TypeError) as error:
        raise Refusal("expired") from error
    if authorization.expires < time.time():
        raise Refusal("expired")
    return authorization


async def registered_client(server: AuthorizationServer, parameters: Mapping[str, str]) -> Client:
    """Return the client of the request, whose redirect URI is one of its own; raises Refusal."""
    client = await server.store.clients.find(parameters.get("client_id", ""))
    if client is None:
        raise Refusal("unknown_client")
    if not is_registered(parameters.get("redirect_uri", ""), client.redirect_uris):
        raise Refusal("unknown_redirect")
    return client


async def checked(server: AuthorizationServer, client: Client, parameters: Mapping[str, str]) -> Authorization:
    """Return the request that the parameters make; raises Rejection with what is wrong."""
    _require_code_flow(parameters)
    if not is_challenge(parameters.get("code_challenge", "")) or parameters.get("code_challenge_method") != "S256":
        raise Rejection("invalid_request", "A code_challenge of the method S256 is needed.")
    sign_in_only = _is_sign_in(parameters)
    if not sign_in_only and not server.is_base(parameters.get("aud", "")):
        raise Rejection("invalid_request", f"aud is {server.base_url}.")
    if len(parameters.get("state", "")) > _LONGEST_STATE or len(parameters.get("scope", "")) > _LONGEST_SCOPE:
        raise Rejection("invalid_request", "The state or scope is too long.")
    await launch_of(server, parameters.get("launch"), client.id, needed=_asks_launch(parameters))
    now = time.time()
    return Authorization(
        client_id=client.id,
        redirect_uri=parameters["redirect_uri"],
        scopes=str(_allowed(client, parameters)),
        challenge=parameters["code_challenge"],
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        launch=parameters.get("launch"),
        language=parameters.get("ui_locales"),
        signed_in_since=_signed_in_since(parameters, now),
        user_id=await _hinted(server, client, parameters.get("id_token_hint")),
        login_hint=parameters.get("login_hint", "")[:LONGEST],
        anew=bool(prompts_of(parameters) & _ANEW),
        acr_values=await _acr_values(server, parameters),
        expires=now + REQUEST_LIFETIME.total_seconds(),
        sign_in_only=sign_in_only,
    )


def prompts_of(parameters: Mapping[str, str]) -> frozenset[str]:
    """Return the words of `prompt`; raises Rejection for one that is unknown, and for none beside another."""
    words = frozenset(parameters.get("prompt", "").split())
    if not words <= PROMPTS:
        raise Rejection("invalid_request", f"prompt is made of {', '.join(sorted(PROMPTS))}.")
    if "none" in words and len(words) > 1:
        raise Rejection("invalid_request", "prompt is none, or something else.")
    return words


def _signed_in_since(parameters: Mapping[str, str], now: float) -> float:
    """Return when the user must have signed in: now where the app wants that, else `max_age` seconds ago at most.

    https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
    """
    now = math.floor(now * 1000) / 1000  # a session has its time in milliseconds
    if prompts_of(parameters) & _ANEW:
        return now
    text = parameters.get("max_age")
    if text is None:
        return 0
    if not _SECONDS.fullmatch(text):
        raise Rejection("invalid_request", "max_age is a number of seconds.")
    return max(0.0, now - int(text))


async def _acr_values(server: AuthorizationServer, parameters: Mapping[str, str]) -> str:
    """Return the classes that the app wants; raises Rejection where nobody here can prove who it is in any class.

    https://openid.net/specs/openid-connect-unmet-authentication-requirements-1_0.html
    """
    values = " ".join(parameters.get("acr_values", "").split())
    if len(values) > _LONGEST_ACR_VALUES:
        raise Rejection("invalid_request", "The acr_values are too long.")
    if values and MULTI_FACTOR not in values.split() and not await server.providers.of_sign_in():
        raise Rejection(UNMET, "Users sign in by name and password, or with a second factor besides.")
    return values


async def _hinted(server: AuthorizationServer, client: Client, hint: str | None) -> str | None:
    """Return the user whom an id_token names that this server gave the app."""
    if hint is None:
        return None
    named = read_id_token(hint, await server.store.keys.verifying(), server.issuer)
    if named is None or named[0] != client.id:
        raise Rejection("invalid_request", "The id_token_hint is none that this app was given here.")
    return named[1]


def _is_sign_in(parameters: Mapping[str, str]) -> bool:
    """Return whether the request is plain OpenID Connect, which knows no `aud`: about who the user is and nothing else.

    Judged by every word that was asked for, understood or not: what is about records names the FHIR base that it
    trusts, or a token could be made for an app that a foreign server sent here.
    """
    scopes = set(parameters.get("scope", "").split(" ")) - {""}
    return "aud" not in parameters and "launch" not in parameters and "openid" in scopes and scopes <= SIGN_IN_SCOPES


def _asks_launch(parameters: Mapping[str, str]) -> bool:
    return "launch" in parameters.get("scope", "").split(" ")


def _require_code_flow(parameters: Mapping[str, str]) -> None:
    if parameters.get("response_type") != "code":
        raise Rejection("unsupported_response_type", "The response_type is code.")
    if parameters.get("response_mode", "query") != "query":
        raise Rejection("invalid_request", "The response_mode is query.")
    if "request" in parameters:
        raise Rejection("request_not_supported", "Request objects are not supported.")
    if "request_uri" in parameters:
        raise Rejection("request_uri_not_supported", "Request objects are not supported.")
    if "registration" in parameters:
        raise Rejection("registration_not_supported", "Apps are registered before they ask.")


def _allowed(client: Client, parameters: Mapping[str, str]) -> Scopes:
    scopes = parse_scopes(parameters.get("scope", ""))
    free = Scopes(client.scopes.resources, (*client.scopes.plain, *_FREE_SCOPES))
    allowed = scopes.narrowed_to(free).without_level("system").without_plain(EHR_LAUNCH)
    if not allowed:
        raise Rejection("invalid_scope", "None of the scopes is one that the app may be given.")
    return allowed


async def launch_of(server: AuthorizationServer, value: str | None, client_id: str, *, needed: bool) -> Launch | None:
    """Return the launch of an EHR that the request belongs to; raises Rejection for one that is not this client's."""
    if value is None:
        if needed:
            raise Rejection("invalid_request", "The scope launch needs the launch value that the EHR gave.")
        return None
    launch = await server.store.launches.find(value)
    if launch is None or launch.client_id != client_id:
        raise Rejection("invalid_request", "The launch value is unknown or has expired.")
    return launch
