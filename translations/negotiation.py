"""Which of the languages a request or a person asks for."""

from __future__ import annotations

from translations.catalogue import LANGUAGES, SOURCE, Language


def choose_language(accept_language: str | None, own: str | None = None) -> Language:
    """Return the language to speak: the best one that Accept-Language names, else the user's own, else English.

    https://www.rfc-editor.org/rfc/rfc9110#field.accept-language
    """
    return named_language(accept_language) or _spoken(own or "") or SOURCE


def named_language(accept_language: str | None) -> Language | None:
    """Return the best of the languages that Accept-Language names and the server speaks, or None."""
    ranges = [_range(item) for item in (accept_language or "").split(",") if item.strip()]
    ranked = sorted((item for item in ranges if item[1] > 0), key=lambda item: -item[1])
    return next(filter(None, (_spoken(tag) for tag, _ in ranked)), None)


def first_language(tags: str | None) -> Language | None:
    """Return the first language that the server speaks, of tags in the order of preference, or None.

    As in `ui_locales`: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
    """
    return next(filter(None, map(_spoken, (tags or "").split())), None)


def _spoken(tag: str) -> Language | None:
    return next((language for language in LANGUAGES if tag.lower().partition("-")[0] == language), None)


def _range(item: str) -> tuple[str, float]:
    tag, _, weight = item.partition(";")
    name, _, value = weight.strip().partition("=")
    try:
        return tag.strip(), float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return tag.strip(), 0.0
