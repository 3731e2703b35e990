"""Claims about a user: what the scopes of a token tell of who signed in, alike in the id_token and at userinfo.

https://openid.net/specs/openid-connect-core-1_0.html#ScopeClaims
"""

from __future__ import annotations

from typing import Any

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.engine import sign_in
from fhir_server.http.oauth.people import ask
from fhir_server.http.oauth.server import AuthorizationServer
from fhir_server.r4.human_names import human_name, official_name

CLAIMS = ("fhirUser", "profile", "name", "given_name", "family_name", "email", "email_verified")


async def claims_of(server: AuthorizationServer, token: BearerToken) -> dict[str, Any]:
    """Return the claims that the scopes fhirUser, profile and email stand for; what is not known is left out."""
    claims: dict[str, Any] = {}
    if token.fhir_user is not None and ("fhirUser" in token.scopes or "profile" in token.scopes):
        url = f"{server.base_url}/{token.fhir_user}"
        claims |= {"fhirUser": url, "profile": url}
    if "profile" not in token.scopes and "email" not in token.scopes:
        return claims
    person = await _person(server, token.fhir_user)
    if "profile" in token.scopes:
        claims |= _names(person)
    if "email" in token.scopes:
        claims |= await _email(server, token, person)
    return claims


async def _person(server: AuthorizationServer, reference: str | None) -> dict[str, Any]:
    """Return the resource that has the user's name: of a role, the practitioner's."""
    if reference is None:
        return {}
    person = await ask(server, reference, [], f"user/{reference.partition('/')[0]}.rs") or {}
    practitioner = str(person.get("practitioner", {}).get("reference", ""))
    if person.get("resourceType") == "PractitionerRole" and practitioner.startswith("Practitioner/"):
        return await ask(server, practitioner, [], "user/Practitioner.rs") or {}
    return person


def _names(person: dict[str, Any]) -> dict[str, str]:
    name = official_name(person)
    claims = {
        "name": human_name(name) or "",
        "given_name": " ".join(filter(None, name.get("given", []))),
        "family_name": str(name.get("family") or ""),
    }
    return {claim: text for claim, text in claims.items() if text}


async def _email(server: AuthorizationServer, token: BearerToken, person: dict[str, Any]) -> dict[str, Any]:
    account = await server.store.users.find(token.user_id or "")
    own = await sign_in.own_address(server.store, account) if account else None
    # What stands in a Patient is not asked: apps may write it, and who trusts an address would take it for the user's.
    address = own or ((_listed(person), False) if token.role != "patient" else ("", False))
    return {"email": address[0], "email_verified": address[1]} if address[0] else {}


def _listed(person: dict[str, Any]) -> str:
    """Return the address that the hospital's records have of a member of the staff."""
    contacts = [
        each for each in person.get("telecom", []) if each.get("system") == "email" and each.get("use") != "old"
    ]
    return str(next((each["value"] for each in contacts if each.get("value")), ""))
