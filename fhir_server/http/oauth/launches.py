"""The interface by which an EHR prepares the launch of an app: it says for whom and about what, and gets a value.

https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.auth.accounts.user import User
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import EHR_LAUNCH
from fhir_server.engine import sign_in
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import OAuthError, answer, endpoint
from fhir_server.http.oauth.forms import body_of
from fhir_server.http.oauth.people import encounter_exists, patient_exists
from fhir_server.http.oauth.server import AuthorizationServer, server_of
from fhir_server.r4.ids import is_id
from fhir_server.store.accounts.sign_in import Launch

_TEXTS = ("client_id", "user", "patient", "encounter", "intent", "smart_style_url", "tenant")
_PARAMETERS = frozenset({*_TEXTS, "need_patient_banner", "fhirContext"})


@endpoint
async def prepare(request: Request) -> Response:
    """Answer 201 with a launch value, and the URL to open where the client registered one.

    The caller is an EHR: its token has the scope ehr_launch. The body names client_id and user (a username, or a
    reference such as Practitioner/1), and may name patient, encounter, intent, need_patient_banner, smart_style_url,
    tenant and fhirContext.
    """
    server = server_of(request)
    await _require_ehr(server, request)
    launch = _launch_parameters(await body_of(request))
    client = await server.store.clients.find(launch.get("client_id", ""))
    if client is None or "authorization_code" not in client.grant_types:
        raise OAuthError("invalid_request", "client_id is not that of an app for users.")
    user = await _user(server, launch.get("user"))
    context = await _context(server, launch)
    seen().patient = context.patient or ""
    seen().about(for_client=client.id, for_user=user.id, encounter=context.encounter)
    value = await server.store.launches.add(Launch(client.id, user.id, context))
    prepared = {"launch": value, "iss": server.base_url}
    if client.launch_url is not None:
        joint = "&" if "?" in client.launch_url else "?"
        prepared["url"] = f"{client.launch_url}{joint}{urlencode({'iss': server.base_url, 'launch': value})}"
    return answer(prepared, 201)


async def _require_ehr(server: AuthorizationServer, request: Request) -> BearerToken:
    authorization = request.headers.get("authorization", "")
    secret = authorization[7:].strip() if authorization[:7].lower() == "bearer " else ""
    token = await server.store.grants.live_token(secret) if secret else None
    if token is None or token[0] != "access":
        challenge = {"WWW-Authenticate": 'Bearer realm="oauth"' + (', error="invalid_token"' if secret else "")}
        raise OAuthError("invalid_token", "The access token is missing, unknown or expired.", 401, challenge)
    if EHR_LAUNCH not in token[1].scopes:
        challenge = {"WWW-Authenticate": f'Bearer realm="oauth", error="insufficient_scope", scope="{EHR_LAUNCH}"'}
        raise OAuthError("insufficient_scope", f"The token lacks the scope {EHR_LAUNCH}.", 403, challenge)
    seen().by_token(token[1])
    return token[1]


def _launch_parameters(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise OAuthError("invalid_request", "The body is not JSON.") from error
    if not isinstance(parameters, dict) or not all(isinstance(parameters.get(name, ""), str) for name in _TEXTS):
        raise OAuthError("invalid_request", f"The body is an object; {', '.join(_TEXTS)} are texts.")
    if parameters.keys() - _PARAMETERS:
        raise OAuthError("invalid_request", f"The body may have {', '.join(sorted(_PARAMETERS))}.")
    if not isinstance(parameters.get("need_patient_banner", True), bool):
        raise OAuthError("invalid_request", "need_patient_banner is true or false.")
    _require_fhir_context(parameters.get("fhirContext", []))
    return parameters


def _require_fhir_context(context: Any) -> None:
    members = {"reference", "canonical", "identifier"}
    if not isinstance(context, list) or not all(isinstance(one, dict) and members & one.keys() for one in context):
        raise OAuthError(
            "invalid_request", "fhirContext is a list of objects with a reference, canonical or identifier."
        )


async def _user(server: AuthorizationServer, name: str | None) -> User:
    users = server.store.users
    user = None
    if name:
        user = await (users.find_by_fhir_user(name) if "/" in name else sign_in.find(server.store, name))
    if user is None or user.disabled:
        raise OAuthError("invalid_request", "user is not that of a user of this server.")
    return user


async def _context(server: AuthorizationServer, parameters: dict[str, Any]) -> LaunchContext:
    patient, encounter = parameters.get("patient"), parameters.get("encounter")
    for resource_id in (patient, encounter):
        if resource_id is not None and not is_id(resource_id):
            raise OAuthError("invalid_request", "patient and encounter are ids, without a type.")
    if patient is not None and not await patient_exists(server, patient):
        raise OAuthError("invalid_request", "There is no such patient.")
    if encounter is not None and not await encounter_exists(server, encounter, patient):
        raise OAuthError("invalid_request", "There is no such encounter of the patient.")
    names = ("intent", "need_patient_banner", "smart_style_url", "tenant", "fhirContext")
    extra = {name: parameters[name] for name in names if name in parameters and parameters[name] != []}
    return LaunchContext(patient, encounter, extra)
