"""What is personal in the collections beside those of resources, and how each field of it is kept.

Whoever adds a collection, or a field that may say something of a person, adds it here: `sealed` fields can only be read
back; `blind` ones can also be found by an equal value, and so can ids that are `blind_id`. What is not named stays as
it is: times, counts, states, random ids, fingerprints of secrets, and the ids of users, clients and resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Layout:
    """How the fields of a collection's documents are kept."""

    sealed: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()
    blind_id: bool = False
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a sealed field, the paths below it that stay to be found by, such as `token.user`."""


_SUBSCRIBER = {"subscriber": ("token.user", "token.client")}

LAYOUTS: dict[str, Layout] = {
    "confirmations": Layout(sealed=frozenset({"what"})),
    "idempotency_keys": Layout(sealed=frozenset({"answer"}), blind=frozenset({"body"}), blind_id=True),
    "login_names": Layout(blind_id=True),
    "oauth_clients": Layout(sealed=frozenset({"secret", "jwks"})),
    "oauth_codes": Layout(sealed=frozenset({"username", "extra", "nonce", "challenge"})),
    "oauth_failures": Layout(blind_id=True),
    "oauth_identities": Layout(sealed=frozenset({"subject"}), blind_id=True),
    "oauth_launches": Layout(sealed=frozenset({"extra"})),
    "oauth_provider_ended": Layout(blind_id=True),
    "oauth_provider_sign_ins": Layout(blind=frozenset({"subject", "sid"})),
    "oauth_sessions": Layout(sealed=frozenset({"device"})),
    "oauth_tokens": Layout(sealed=frozenset({"username", "extra"})),
    "oauth_users": Layout(sealed=frozenset({"username", "password"}), blind=frozenset({"name"})),
    "searches": Layout(sealed=frozenset({"state"})),
    "server_async_requests": Layout(sealed=frozenset({"token", "path", "query", "location", "questions"})),
    "server_bulk_import_parts": Layout(sealed=frozenset({"data", "refusals", "unread"})),
    "server_bulk_imports": Layout(sealed=frozenset({"inputs", "source", "token", "failure"})),
    "server_exports": Layout(sealed=frozenset({"url", "asked", "token", "failure"})),
    "server_imports": Layout(sealed=frozenset({"digest", "file", "password"})),
    "server_jobs": Layout(sealed=frozenset({"state"})),
    "server_loads": Layout(blind_id=True),
    "server_secrets": Layout(sealed=frozenset({"value"})),
    "server_subscriptions": Layout(sealed=frozenset({"json", "subscriber"}), shown=_SUBSCRIBER),
    "terminology_closures": Layout(sealed=frozenset({"content"})),
    "terminology_kept": Layout(sealed=frozenset({"json"})),
}
RESOURCE = Layout(sealed=frozenset({"json", "content", "subscriber"}), shown=_SUBSCRIBER)
"""Of the collections of resources, beside the search index."""
