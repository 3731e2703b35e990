"""Every setting of the server, from FHIR_SERVER_* environment variables, a settings file, or the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The server's settings; `FHIR_SERVER_NAME` in the environment or a line of `fhir-server.env` sets `name`."""

    model_config = SettingsConfigDict(env_prefix="FHIR_SERVER_", env_file="fhir-server.env", extra="ignore")

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str | None = Field(
        default=None, description="Public base such as https://fhir.example.org/fhir; fixes all links."
    )
    workers: int = 1
    open: bool = Field(default=False, description="Serve without authorization; loopback only.")

    data_dir: Path = Field(default=Path("data"), description="Where the embedded mongod keeps its files.")
    database_url: str | None = Field(default=None, description="A MongoDB replica set of yours; none means embedded.")
    database_name: str = "fhir"
    mongod: Path | None = Field(default=None, description="A mongod to run instead of the one found.")
    mongod_cache_gb: float = Field(
        default=0.5, description="Memory that the embedded mongod may use as its cache; at least 0.25."
    )

    default_timezone: str = Field(default="UTC", description="IANA zone of search dates that carry no offset.")
    search_handling: Literal["lenient", "strict"] = "lenient"
    default_page_size: int = 50
    max_page_size: int = 1000
    max_includes: int = Field(
        default=1000, description="Included resources on one page before a link carries the rest."
    )

    max_everything: int = Field(
        default=10_000, description="Resources that $everything answers with at once before a link carries the rest."
    )

    max_body_bytes: int = 64 * 1024 * 1024
    max_bundle_entries: int = 5000
    max_conditional_deletes: int = Field(default=1000, description="Resources that one conditional delete may remove.")
    max_depth: int = Field(default=100, description="Nesting depth of a JSON or XML body.")
    blob_threshold_bytes: int = Field(
        default=4 * 1024 * 1024, description="Resources larger than this are kept in GridFS rather than in a document."
    )

    key_secret: str | None = Field(
        default=None, description="Protects the signing keys; without it a file of the data directory does."
    )
    dynamic_registration: bool = Field(default=False, description="Let apps register themselves at /oauth/register.")
    allow_internal_urls: bool = Field(
        default=False, description="Fetch a client's jwks_uri also by http and from private addresses."
    )

    log_format: Literal["json", "console"] = "console"
    log_level: str = "info"
    log_requests: bool = Field(default=False, description="A line for each request, by its shape; no ids, no queries.")
