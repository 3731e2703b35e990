"""The settings of terminology and packages."""

from __future__ import annotations

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_ROUTE = re.compile(r"(?P<system>[a-z][a-z0-9+.-]*:[^\s,=]+)=(?P<server>https?://[^\s,?#]+)")


class TerminologySettings(BaseSettings):
    """What `Settings` has about terminology and packages."""

    max_expansion_codes: int = Field(
        default=1000, ge=1, description="Codes that $expand answers with where no page is asked for, past them 422."
    )
    terminology_servers: str = Field(
        default="",
        description="Other servers for code systems that are not here, such as "
        "http://snomed.info/sct=https://tx.example.org/r4; several are separated by commas.",
    )
    terminology_seconds: float = Field(
        default=10, gt=0, description="How long another terminology server is waited for."
    )
    terminology_cache_seconds: float = Field(default=3600, ge=0, description="How long its answers are kept.")

    search_core_definitions: bool = Field(default=True, description="Searches find R4's own definitions, too.")
    package_registry: str = Field(
        default="https://packages.fhir.org", description="Where `package install NAME` fetches from, by npm's protocol."
    )
    package_registry_internal: bool = Field(default=False, description="That may be by http, at a private address.")
    package_search_parameters: bool = Field(
        default=False, description="Search parameters of packages are used at once, not when they are switched on."
    )

    @property
    def terminology_routes(self) -> dict[str, str]:
        """The base URL of the server of each code system that has one."""
        return _routes(self.terminology_servers)

    @field_validator("terminology_servers")
    @classmethod
    def _are_routes(cls, text: str) -> str:
        _routes(text)
        return text


def _routes(text: str) -> dict[str, str]:
    routes = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = _ROUTE.fullmatch(part)
        if match is None:
            raise ValueError("Input should be SYSTEM=URL, such as http://snomed.info/sct=https://tx.example.org/r4")
        routes[match["system"]] = match["server"].rstrip("/")
    return routes
