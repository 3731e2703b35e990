"""Requests to the hospital's endpoints and to the pages and forms of OAuth, by a caller who has no account."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from bench.attack_inputs import FORM, JSON_TYPE, Attack

_MEGABYTE = 1_000_000
_MANY = 16


def attacks_without_account() -> Iterator[Attack]:
    """Yield all requests; their paths begin at the root of the server."""
    yield from _facade()
    yield from _oauth()


def _facade() -> Iterator[Attack]:
    def post(name: str, path: str, body: bytes, callers: int = 1, **headers: str) -> Attack:
        return Attack(f"app: {name}", "POST", path, body, {"Content_Type": JSON_TYPE, **headers}, callers)

    person = {"name": "Ana Lopez", "email": "ana@example.org", "password": "x" * 200_000}
    signing_in = {"username": "ana@example.org", "password": "correct horse battery"}
    fields = json.dumps({f"field{at}": at for at in range(60_000)}).encode()
    yield post("sign-up of many fields", "user/signup", fields)
    yield post("sign-up nested deeply", "user/signup", b'{"name":' * 100_000)
    yield post("sign-up with a long password", "user/signup", json.dumps(person).encode())
    yield post("passwords at once", "user/login", json.dumps(signing_in).encode(), callers=_MANY)
    long_name = json.dumps({**signing_in, "username": "a" * 400_000 + "@" + "b." * 200_000}).encode()
    yield post("a long address", "user/login", long_name)
    yield post("numbers of many digits", "user/login", b'{"username":' + b"9" * 900_000 + b"}")
    yield post("compressed space", "user/login", gzip.compress(b" " * 60_000_000), Content_Encoding="gzip")
    yield post("forgotten at once", "user/password/forgot", b'{"email":"ana@example.org"}', callers=_MANY)
    query = "&".join(f"name={at}" for at in range(8000))
    yield Attack("app: many parameters", "GET", f"booking/clinics?{query}")
    yield Attack("app: a long search", "GET", "booking/doctors?name=" + quote("%_\\" * 10_000))
    yield Attack("app: descriptions at once", "GET", "openapi.json", callers=_MANY)


def _oauth() -> Iterator[Attack]:
    def form(name: str, path: str, body: bytes, callers: int = 1, **headers: str) -> Attack:
        return Attack(f"oauth: {name}", "POST", path, body, {"Content_Type": FORM, **headers}, callers)

    yield form("many fields", "oauth/token", b"&".join(b"a=1" for _ in range(250_000)))
    yield form("escapes", "oauth/token", b"grant_type=" + b"%25" * 330_000)
    scopes = " ".join(f"system/Patient.rs?name=a{at}" for at in range(30_000))
    credentials = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}
    yield form("many scopes", "oauth/token", urlencode({**credentials, "scope": scopes}).encode()[:_MEGABYTE])
    secret = urlencode({**credentials, "client_secret": "s" * 900_000}).encode()
    yield form("a long secret", "oauth/token", secret)
    yield form("secrets at once", "oauth/token", urlencode(credentials).encode(), callers=_MANY)
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assertion = {"grant_type": "client_credentials", "client_assertion_type": kind}
    for name, token in (("points", "." * 900_000), ("a long one", "e30." + "A" * 900_000 + ".A")):
        yield form(f"assertion: {name}", "oauth/token", urlencode({**assertion, "client_assertion": token}).encode())
    yield form("compressed", "oauth/token", gzip.compress(b"a=1&" * 10_000_000), Content_Encoding="gzip")
    yield form("introspection", "oauth/introspect", b"token=" + b"x" * 900_000)
    signing_in = urlencode({"username": "a" * 400_000, "password": "b" * 400_000}).encode()
    yield form("a long name", "oauth/login", signing_in)
    registration = json.dumps({"redirect_uris": [f"https://a{at}.test/" for at in range(30_000)]}).encode()
    yield Attack("oauth: many redirects", "POST", "oauth/register", registration, {"Content_Type": JSON_TYPE})
    query = urlencode({"client_id": "x", "scope": scopes[:50_000], "state": "s" * 5000})
    yield Attack("oauth: a long question", "GET", f"oauth/authorize?{query}", callers=_MANY)
