"""The settings of apps that register themselves: whether they may, how many, and how long unused ones are kept."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings


class RegistrationSettings(BaseSettings):
    """What `Settings` has about registration."""

    dynamic_registration: bool = Field(default=False, description="Let apps register themselves at /oauth/register.")
    max_registrations: int = Field(
        default=20, ge=1, description="Apps that register themselves from one network address within 15 minutes."
    )
    max_unused_clients: int = Field(
        default=1000,
        ge=1,
        description="Apps that registered themselves and have no token yet; past them one an hour old gives way.",
    )
    unused_client_hours: int = Field(
        default=24, ge=1, description="An app that registered itself and has got no token within these is removed."
    )

    @property
    def unused_client_life(self) -> timedelta:
        """How long an app that registered itself is kept without a token."""
        return timedelta(hours=self.unused_client_hours)
