"""The settings of signing in: outside identity providers, and who may still use a password."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class SignInSettings(BaseSettings):
    """What `Settings` has about signing in."""

    providers_file: Path | None = Field(
        default=None, description="File with outside identity providers, a JSON list; more are added by command."
    )
    provider_check_minutes: float = Field(
        default=10,
        gt=0,
        le=24 * 60,
        description="So often a provider is asked whether who signed in with it still may; without its answer by a "
        "refresh token the sign-in ends then.",
    )
    password_sign_in: Literal["all", "patients", "none"] = Field(
        default="all", description="Who may sign in by a password of this server; all others by a provider alone."
    )
    max_provider_sign_ins: int = Field(
        default=100, ge=1, description="Sign-ins with providers that one network address may begin within 15 minutes."
    )
    authorization_server: str | None = Field(
        default=None,
        description="Id of the outside provider whose endpoints discovery and the CapabilityStatement tell, where it "
        "and not this server is the authorization server that apps use.",
    )
    require_second_factor: Literal["none", "staff", "all"] = Field(
        default="none", description="Who must have a second factor to sign in by a password of this server."
    )
