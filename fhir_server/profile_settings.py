"""The settings of profiles: what becomes of a resource that breaks one, and which ones a type must meet."""

from __future__ import annotations

import re
from functools import lru_cache

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

_POLICY = re.compile(r"enforce|warn|off")
_CANONICAL = re.compile(r"[a-z][a-z0-9+.-]*:[^\s,]+")
_TYPED = re.compile(r"([A-Z][A-Za-z]+)=(.*)")


class ProfileSettings(BaseSettings):
    """What `Settings` has about profiles."""

    profile_validation: str = Field(
        default="enforce",
        description="What becomes of a resource that breaks a profile, an extension's definition or a code system: "
        "enforce refuses it, warn stores it and tells, off does not look. By type: enforce,Observation=warn,Basic=off.",
    )
    required_profiles: str = Field(
        default="",
        description="Profiles that every resource of a type must meet, separated by commas: "
        "Patient=http://example.org/StructureDefinition/our-patient,Observation=...; a type may have several.",
    )

    @property
    def profiles_required(self) -> dict[str, tuple[str, ...]]:
        """The canonicals of the profiles that every resource of a type must meet, by type."""
        return _by_type(self.required_profiles, _CANONICAL)

    def profile_policy(self, resource_type: str) -> str:
        """Return what becomes of a resource of the type that breaks a profile: enforce, warn or off."""
        policies = _by_type(self.profile_validation, _POLICY)
        return (policies.get(resource_type) or policies.get("*", ("enforce",)))[-1]

    @field_validator("profile_validation", "required_profiles")
    @classmethod
    def _are_by_type(cls, text: str, info: ValidationInfo) -> str:
        of_profiles = info.field_name == "required_profiles"
        if "*" in _by_type(text, _CANONICAL if of_profiles else _POLICY) and of_profiles:
            raise ValueError("Input should name the type of each profile: Patient=http://example.org/our-patient")
        return text


@lru_cache(maxsize=32)
def _by_type(text: str, pattern: re.Pattern[str]) -> dict[str, tuple[str, ...]]:
    """Return the words of each type, as in `word,Patient=word`, and under "*" those without one; raises ValueError."""
    words: dict[str, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        typed = _TYPED.fullmatch(part)
        name, word = typed.groups() if typed else ("*", part)
        if not pattern.fullmatch(word):
            raise ValueError(f"Input should be such as {pattern.pattern}, or by type: Patient=...")
        words[name] = (*words.get(name, ()), word)
    return words
