"""From the Authorization header of a request to what its caller may do. https://www.rfc-editor.org/rfc/rfc6750#section-2.1"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fhir_server.auth.permission.access import NoAccess, unauthorized
from fhir_server.auth.tokens.signed import is_signed_form
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.panels import confined
from fhir_server.engine.providers.tokens import OutsideTokens
from fhir_server.store.accounts.oauth import OAuthStore

Authenticate = Callable[[Mapping[str, str]], Awaitable[Access]]

_NO_ACCESS = NoAccess()


def bearer_authentication(
    store: OAuthStore[Access], services: Services, outside: OutsideTokens | None = None
) -> Authenticate:
    """Return the function that finds the access of a request's bearer token; it raises Unauthorized for a bad one.

    It is a token of this server's own, or one of an outside issuer whose tokens are taken; once it is found, nothing
    tells them apart. A token anywhere but in that header counts for nothing.
    """

    async def authenticate(headers: Mapping[str, str]) -> Access:
        header = headers.get("authorization")
        if header is None:
            return _NO_ACCESS
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("The Authorization header must hold a Bearer token.")
        secret = secret.strip()
        access = None if is_signed_form(secret) else await store.tokens.find(secret)
        if access is None and outside is not None:
            access = await outside.find(secret)
        if access is None:
            raise unauthorized("The access token is unknown, has expired or was revoked.", "invalid_token")
        return await confined(services, access)

    return authenticate
