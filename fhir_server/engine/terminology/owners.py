"""Whose the tables and caches of terminology clients are."""

from __future__ import annotations

from fhir_server.engine.access import Access


def owner_of(access: Access) -> str:
    """Return what names the client and user of a caller; all are one where authorization is off."""
    token = getattr(access, "token", None)
    return "" if token is None else f"{token.client_id} {token.user_id or ''}"
