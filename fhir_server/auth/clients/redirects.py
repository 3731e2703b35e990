"""Redirect URIs: which may be registered, and which of a request is a registered one. https://www.rfc-editor.org/rfc/rfc9700#section-2.1"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FORBIDDEN_SCHEMES = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem", "ws", "wss", "ftp"}
)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9._])?|(?=[^:]*:)[0-9a-f:.]*", re.ASCII)
"""A name (of IDN its ASCII form) or an address: no placeholder, and nothing that means more in a header."""
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def fault(uri: str, *, by_operator: bool = False) -> str | None:
    """Return why the URI cannot be registered, or None: https, http to this machine only, or an app's own scheme.

    An operator may also register http on other machines, as in a test network.
    """
    if not _PRINTABLE.fullmatch(uri) or len(uri) > 2000 or "\\" in uri:
        return "A redirect URI is made of printable ASCII characters, at most 2000."
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return "This is not a URI."
    if "#" in uri:
        return "A redirect URI has no fragment."
    if parts.username is not None or parts.password is not None:
        return "A redirect URI names no user."
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            return "A redirect URI names its host."
        if not _HOST.fullmatch(parts.hostname):
            return "The host of a redirect URI is one name or address, without a placeholder."
        if parts.scheme == "http" and not by_operator and parts.hostname not in _LOOPBACK:
            return "A redirect URI is https, or http on this machine."
        return None
    return _own_scheme_fault(parts.scheme)


def _own_scheme_fault(scheme: str) -> str | None:
    if not scheme or scheme in _FORBIDDEN_SCHEMES:
        return "A redirect URI is absolute, and of a scheme that only opens an app."
    if "." not in scheme:
        return "An app's own scheme is a domain name in reverse, such as org.example.app."
    return None


def is_registered(uri: str, registered: Sequence[str]) -> bool:
    """Return whether the URI is, character for character, one of the registered."""
    return uri in registered


def with_parameters(uri: str, parameters: Mapping[str, str | None]) -> str:
    """Return the URI with the parameters added to its query; None is left out."""
    added = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{uri}{'&' if '?' in uri else '?'}{added}"


def form_action(uri: str) -> str:
    """Return the source expression of Content-Security-Policy that lets a form lead to the URI."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}:"
