"""Which client a request comes from, and the proof of it: none, a secret, or a signed assertion.

https://www.rfc-editor.org/rfc/rfc6749#section-2.3
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import unquote

from starlette.requests import Request

from fhir_server.auth.clients import assertions as client_assertions
from fhir_server.auth.clients.client import Client
from fhir_server.auth.tokens.secrets import matches
from fhir_server.http.audit.audit_context import seen
from fhir_server.http.oauth.answers import OAuthError
from fhir_server.http.oauth.server import AuthorizationServer

_BASIC_CHALLENGE = {"WWW-Authenticate": 'Basic realm="oauth", charset="UTF-8"'}


async def authenticate(server: AuthorizationServer, request: Request, form: Mapping[str, str], url: str) -> Client:
    """Return the client that sends the form to the endpoint `url`; raises OAuthError `invalid_client`.

    A public client only says who it is. Whoever is registered with a secret or keys must prove it.
    """
    authorization = request.headers.get("authorization", "")
    is_basic = authorization[:6].lower() == "basic "
    ways = [is_basic, "client_secret" in form, "client_assertion" in form or "client_assertion_type" in form]
    if sum(ways) > 1:
        raise OAuthError("invalid_request", "The client authenticates in more than one way.")
    if ways[2]:
        return await _by_assertion(server, form, url)
    if is_basic:
        return await _by_secret(server, *_basic(authorization), form, _BASIC_CHALLENGE)
    client_id = form.get("client_id")
    if client_id is None:
        _refuse("The request does not say which client it comes from.")
    if ways[1]:
        return await _by_secret(server, client_id, form["client_secret"], form, {})
    client = await server.store.clients.find(client_id)
    _see(client)
    if client is None or not client.is_public:
        _refuse("The client is unknown, or must prove who it is.")
    return client


def _see(client: Client | None) -> None:
    # Also one that fails to prove itself: that is what an auditor looks for.
    if client is not None:
        seen().client = client.id


def _refuse(why: str, headers: Mapping[str, str] | None = None) -> NoReturn:
    raise OAuthError("invalid_client", why, 401, headers)


def _basic(authorization: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(authorization[6:].strip(), validate=True).decode()
    except (ValueError, binascii.Error):
        _refuse("The Basic credentials cannot be read.", _BASIC_CHALLENGE)
    client_id, colon, secret = text.partition(":")
    if not colon:
        _refuse("The Basic credentials cannot be read.", _BASIC_CHALLENGE)
    # Form encoding changes nothing in ids and secrets made here, so clients which encode and which do not both pass.
    return unquote(client_id), unquote(secret)


async def _by_secret(
    server: AuthorizationServer, client_id: str, secret: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> Client:
    client = await server.store.clients.find(client_id)
    _see(client)
    stored = client.secret_fingerprint if client is not None else None
    if not matches(secret, stored or "") or client is None or form.get("client_id", client_id) != client_id:
        _refuse("The client is unknown, or its secret is wrong.", headers)
    return client


async def _by_assertion(server: AuthorizationServer, form: Mapping[str, str], url: str) -> Client:
    if form.get("client_assertion_type") != client_assertions.ASSERTION_TYPE or "client_assertion" not in form:
        raise OAuthError("invalid_request", f"The client_assertion_type is {client_assertions.ASSERTION_TYPE}.")
    try:
        assertion = client_assertions.read(form["client_assertion"])
        client = await server.store.clients.find(assertion.client_id)
        _see(client)
        if client is None or form.get("client_id", assertion.client_id) != assertion.client_id:
            _refuse("The client is unknown.")
        proof = await client_assertions.verify(assertion, client, server.client_keys, (url, server.issuer))
    except client_assertions.Invalid as error:
        _refuse(str(error))
    if not await server.store.assertions.accept(proof.client_id, proof.jti, proof.expires):
        _refuse("The client assertion was used before.")
    return client
