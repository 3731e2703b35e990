"""Taking in a Subscription: whether it may be stored, for whom, and without its secrets.

It acts with the rights of who wrote it, which are kept beside the resource with the sealed headers. Others than its
owner may but turn it off, or delete it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.tokens.sealed import seal, unseal
from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.subscriptions.criteria import compiled
from fhir_server.engine.subscriptions.definition import (
    HIDDEN,
    channels,
    faults,
    filter_texts,
    hidden,
    is_topic,
    origin,
    secrets_of,
)
from fhir_server.engine.subscriptions.topics import SHIPPED, Topic, watching
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.subscriber import subscriber_name, subscriber_of, with_subscriber
from fhir_server.settings import Settings
from fhir_server.store.accounts.bearer_tokens import bearer_token, meaning_document
from fhir_server.store.accounts.signing_keys import master_key

if TYPE_CHECKING:
    from fhir_server.engine.context import Context
    from fhir_server.store.resources.resources import Version

TYPE = "Subscription"
Subscriber = dict[str, Any]
"""What is kept beside a Subscription: `token`, what the rights of its owner rest on (None on an open server), and
`sealed`, its headers and its secret."""


class ServerAccess(OpenAccess):
    """The access of the server itself, which writes the state of a Subscription and leaves all else as it is."""

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource as it is."""
        return resource


def prepared(
    context: Context, resource: Mapping[str, Any], resource_id: str, previous: Version | None
) -> tuple[Mapping[str, Any], Subscriber | None]:
    """Return a valid Subscription as it is to be stored, and what is to be kept beside it.

    Raises Unprocessable with every place of what cannot be carried out, and Forbidden.
    """
    before = previous if previous is not None and not previous.deleted else None
    if isinstance(context.access, ServerAccess):
        return resource, None if before is None else dict(before.subscriber or {})
    stored = values.decode(before.json) if before is not None else None
    if stored is not None and before is not None and not _is_owner(context, stored):
        return _turned_off(resource, stored), dict(before.subscriber) if before.subscriber else None
    token = context.access.token if isinstance(context.access, ScopedAccess) else None
    if token is not None and token.provider is not None:
        # Notifications act with the owner's rights of that moment, which nobody could ask another issuer about.
        raise Forbidden("A Subscription is made by a token of this server's own, not by one of another issuer.")
    _require_possible(context, resource)
    own = stored is not None and subscriber_of(stored) == owner_of(context)
    secrets = _secrets(context.services.settings, resource, resource_id, before if own else None)
    shown = with_subscriber(hidden(resource), owner_of(context))
    if not (stored is not None and _says_the_same(shown, stored)):
        shown = _requested(shown)
    return shown, {"token": None if token is None else meaning_document(token), "sealed": secrets}


def shown(context: Context, resource: Mapping[str, Any], previous: Version) -> Mapping[str, Any]:
    """Return a body as it would be stored, where it brings no secret: to tell whether it says anything new."""
    stored = values.decode(previous.json)
    brought = [header for header in secrets_of(resource)[0] if not header.endswith(HIDDEN)]
    if brought or secrets_of(resource)[1] not in ("", HIDDEN):
        return resource
    return with_subscriber(hidden(resource), subscriber_of(stored))


def owner_of(context: Context) -> str:
    """Return whose a Subscription is that the caller writes; "" on an open server."""
    access = context.access
    return subscriber_name(access.token.client_id, access.token.user_id) if isinstance(access, ScopedAccess) else ""


def acts_by_same_rights(access: Access, version: Version) -> bool:
    """Return whether a caller is the owner of a Subscription, by a token with the rights that it acts with.

    What it tells goes to such a token alone: another of the same client and user may see less.
    """
    if not isinstance(access, ScopedAccess):
        return subscriber_of(values.decode(version.json)) == ""
    token, meaning = access.token, (version.subscriber or {}).get("token")
    name = subscriber_name(token.client_id, token.user_id)
    is_owner = subscriber_of(values.decode(version.json)) == name
    return is_owner and meaning is not None and bearer_token(meaning).rights == token.rights


def _is_owner(context: Context, stored: Mapping[str, Any]) -> bool:
    """Return whether the caller wrote the Subscription; one that nobody owns is anybody's who may change it."""
    return subscriber_of(stored) in ("", owner_of(context)) or isinstance(context.access, OpenAccess)


def _turned_off(resource: Mapping[str, Any], stored: dict[str, Any]) -> Mapping[str, Any]:
    """Return somebody else's Subscription, turned off; raises Forbidden where more than that is asked for."""
    off = {**stored, "status": "off"}
    if not _says_the_same(with_subscriber(hidden(resource), subscriber_of(stored)), off):
        raise Forbidden("Others than the owner of a Subscription may set its status to off and delete it, no more.")
    return off


def _says_the_same(resource: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    return _without_versions(resource) == _without_versions(stored)


def _without_versions(resource: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in (resource.get("meta") or {}).items() if name not in _VERSIONS}
    return {name: value for name, value in resource.items() if name not in ("meta", "id")} | {"meta": meta}


_VERSIONS = frozenset({"versionId", "lastUpdated"})


def _requested(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the Subscription as R4 lets a client submit it: only the server activates one."""
    if resource["status"] != "active":
        return resource
    return {**{name: value for name, value in resource.items() if name != "error"}, "status": "requested"}


def _require_possible(context: Context, resource: Mapping[str, Any]) -> None:
    settings = context.services.settings
    issues = list(faults(resource, channels(settings), internal=settings.allow_internal_urls))
    if issues:
        raise Unprocessable(issues=issues)
    if is_topic(resource["criteria"]):
        topic = SHIPPED.get(resource["criteria"])  # one that is stored is looked up when the version is to be stored
        if topic is not None:
            require_topic(context, resource, topic)
        return
    timezone, base_url = context.services.settings.default_timezone, context.base_url
    for text in filter_texts(resource):
        raise Unprocessable(
            f"The filter {text[:80]!r} goes with a topic.", expression="Subscription.criteria", code="not-supported"
        )
    resource_type, _ = compiled(resource["criteria"], timezone, base_url)
    _require_rights(context, resource, {resource_type})


def require_topic(context: Context, resource: Mapping[str, Any], topic: Topic) -> None:
    """Raise Unprocessable where the filters do not go with the topic, and Forbidden for types beyond the scope."""
    timezone, base_url = context.services.settings.default_timezone, context.base_url
    watched = watching(topic, list(filter_texts(resource)), timezone, base_url)
    _require_rights(context, resource, {each.type for each in watched})


def _require_rights(context: Context, resource: Mapping[str, Any], types: Iterable[str]) -> None:
    if resource["status"] in ("requested", "active"):
        for resource_type in types:
            context.access.require("search-type", resource_type)
            context.access.require("read", resource_type)


# --- Secrets -----------------------------------------------------------------------------------------------------


class Secrets(msgspec.Struct, frozen=True):
    """What a Subscription keeps to itself: headers as they are sent, and the key of signatures ("" for none)."""

    headers: tuple[str, ...] = ()
    key: str = ""
    missing: str = ""
    """What is hidden in the resource and not known here, in words."""


def _secrets(settings: Settings, resource: Mapping[str, Any], resource_id: str, before: Version | None) -> bytes | None:
    """Return the sealed secrets; what is hidden in the resource is taken from the version before.

    What that does not know is noted as missing: a Subscription that was read can be stored elsewhere, or be led to
    another host, but is not carried out there until its secrets are sent.
    """
    headers, key = secrets_of(resource)
    if not headers and not key:
        return None
    earlier = _earlier(settings, resource, before) if before else Secrets()
    by_name = {header.partition(":")[0]: header for header in earlier.headers}
    merged = [by_name.get(_name(header), header) if _is_hidden(header) else header for header in headers]
    missing = ["the header " + _name(header) for header in merged if _is_hidden(header)]
    if key == HIDDEN:
        key = earlier.key
        missing += [] if key else ["the secret"]
    secrets = Secrets(tuple(header for header in merged if not _is_hidden(header)), key, ", ".join(missing))
    return seal(msgspec.json.encode(secrets), _key(settings), f"{TYPE}/{resource_id}")


def _earlier(settings: Settings, resource: Mapping[str, Any], before: Version) -> Secrets:
    """Return the secrets of the version before; the headers only where the endpoint is still on the same host."""
    secrets = read_secrets(settings, before.subscriber, before.id) or Secrets()
    if not secrets.headers:
        return secrets
    channels_of_both = resource["channel"], values.decode(before.json)["channel"]
    origins = {origin(channel.get("endpoint", "")) for channel in channels_of_both}
    return secrets if len(origins) == 1 else Secrets(key=secrets.key)


def _name(header: str) -> str:
    return header.partition(":")[0]


def _is_hidden(header: str) -> bool:
    return header.partition(":")[2].strip() == HIDDEN


def read_secrets(settings: Settings, subscriber: Mapping[str, Any] | None, resource_id: str) -> Secrets | None:
    """Return the secrets of a Subscription; None where they were sealed under another key."""
    sealed = (subscriber or {}).get("sealed")
    if sealed is None:
        return Secrets()
    opened = unseal(bytes(sealed), _key(settings), f"{TYPE}/{resource_id}")
    return None if opened is None else msgspec.json.decode(opened, type=Secrets)


_keys: dict[tuple[str | None, str], bytes] = {}


def _key(settings: Settings) -> bytes:
    """Return the key that secrets are sealed under: it follows from the one of the signing keys, kept outside the
    database.
    """
    name = (settings.key_secret, str(settings.data_dir))
    if name not in _keys:
        _keys[name] = hmac.new(master_key(settings), b"subscription secrets", hashlib.sha256).digest()
    return _keys[name]
