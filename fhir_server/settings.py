"""Every setting of the server, from FHIR_SERVER_* environment variables, a settings file, or the command line."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from fhir_server.bulk_settings import BulkSettings
from fhir_server.own_urls import DEFAULT_BASE
from fhir_server.profile_settings import ProfileSettings
from fhir_server.registration_settings import RegistrationSettings
from fhir_server.sign_in_settings import SignInSettings
from fhir_server.terminology_settings import TerminologySettings

SERVICES = frozenset({"fhir", "hms", "ehr", "auth"})
"""FHIR; the hospital's endpoints 1 to 28; those of its health record, 29 to 36; the authorization server."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
"""As browsers write it: in lower case, without a path or a final slash; of an app's own scheme, too."""

_CANONICAL_BASE = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]{1,100}){0,10}")


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class SettingsError(Exception):
    """A setting has a value that the server cannot use; the text names the setting."""


class Settings(TerminologySettings, ProfileSettings, RegistrationSettings, BulkSettings, SignInSettings):
    """The server's settings; `FHIR_SERVER_NAME` in the environment or a line of `fhir-server.env` sets `name`."""

    model_config = SettingsConfigDict(env_prefix="FHIR_SERVER_", env_file="fhir-server.env", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    base_url: str | None = Field(
        default=None, description="Public base such as https://fhir.example.org/fhir; fixes all links."
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="Addresses and networks of the proxies in front, separated by commas: their X-Forwarded-For is "
        "believed, nobody else's.",
    )
    cors_origins: str = Field(
        default="*",
        description="Origins whose pages may call FHIR, the hospital's endpoints and the authorization server, such as "
        "https://app.example.org, separated by commas; * is any, none is none. Cookies never count.",
    )
    workers: Positive = 1
    services: str | None = Field(
        default=None,
        description="Which of fhir, hms, ehr and auth this process serves, separated by commas; all if left out.",
    )
    fhir_base_url: str | None = Field(
        default=None, description="Another FHIR R4 server that the service ehr answers from, by its callers' tokens."
    )
    open: bool = Field(default=False, description="Serve without authorization; loopback only.")

    max_connections: Positive = Field(
        default=5000, description="Connections of one worker; past them the one that has waited longest is closed."
    )
    head_seconds: Seconds = Field(default=10, description="Within this a request head is complete.")
    body_seconds: Seconds = Field(default=30, description="Within each span of this a body brings 1 KiB a second.")
    write_seconds: Seconds = Field(default=60, description="Within this a client that reads slowly goes on reading.")
    max_unread_bytes: int = Field(
        default=128 * 1024 * 1024, ge=1024 * 1024, description="Of answers that clients have not read, in one worker."
    )
    max_streams: Positive = Field(default=1000, description="Notification streams of one worker.")
    max_streams_per_user: Positive = Field(
        default=10,
        description="Streams of one user on one worker; also the websockets of an owner of Subscriptions, "
        "and those of one address that are bound to nothing.",
    )
    drain_seconds: float = Field(
        default=5, ge=0, le=8, description="After SIGTERM, how long requests are taken while readiness says 503."
    )
    database_silence_seconds: Seconds = Field(
        default=60,
        description="A worker whose database answers nothing ends itself after this; /health/live says so after half.",
    )

    data_dir: Path = Field(default=Path("data"), description="Where the embedded mongod keeps its files.")
    database_url: str | None = Field(default=None, description="A MongoDB replica set of yours; none means embedded.")
    database_name: str = "fhir"
    read_preference: Literal["primary", "secondaryPreferred", "nearest"] = Field(
        default="primary",
        description="Which nodes of the replica set serve read, vread, search and history. Others than the primary lag "
        "behind: a client may not see at once what it has just written.",
    )
    mongod: Path | None = Field(default=None, description="A mongod to run instead of the one found.")
    mongod_cache_gb: float | None = Field(
        default=None,
        ge=0.25,
        description="Memory that the embedded mongod may use as its cache, at least 0.25; by default a quarter of what "
        "the machine or its container has, at most 16.",
    )

    staff_sees: Literal["clinics", "treatment", "all"] = Field(
        default="clinics",
        description="Whose records a practitioner's user/ scopes show: of the patients of the own clinics, of those "
        "under the own treatment, or of all.",
    )
    publish_definitions: bool = Field(
        default=True, description="Keep the hospital's profiles, extensions and code systems readable under /fhir."
    )
    canonical_base: str = Field(
        default=DEFAULT_BASE,
        description="What the URLs of the hospital's own extensions, profiles, code systems, identifiers and problems "
        "begin with, in what is stored and answered; a URL that is yours, such as https://hospital.example.",
    )
    former_canonical_bases: str = Field(
        default="",
        description="Bases that were in use before, separated by commas: what is stored with them is read as well, as "
        "is what is stored with the default.",
    )
    default_timezone: str = Field(default="UTC", description="IANA zone of search dates that carry no offset.")
    search_handling: Literal["lenient", "strict"] = "lenient"
    default_page_size: Positive = 50
    max_page_size: Positive = 1000
    max_includes: Positive = Field(
        default=1000, description="Included resources on one page before a link carries the rest."
    )

    max_page_bytes: Positive = Field(
        default=16 * 1024 * 1024,
        description="Bytes of the resources on a page of a search, a history or $everything: a page that has them ends "
        "early, with a next link. One resource stands on each.",
    )
    max_everything: Positive = Field(
        default=10_000, description="Resources that $everything answers with at once before a link carries the rest."
    )

    max_body_bytes: Positive = 64 * 1024 * 1024
    large_bytes_at_once: Positive = Field(
        default=3 * 1024 * 1024,
        description="Bytes of request bodies above 64 KB that the workers together work on at once; in each, one alone "
        "may have more.",
    )
    large_bytes_waiting: Positive = Field(
        default=24 * 1024 * 1024,
        description="Bytes of request bodies above 64 KB that the workers together receive ahead.",
    )
    large_rows_at_once: Positive = Field(
        default=2000,
        description="Rows of pages above 200 rows, $everything among them, that the workers together work on at once; "
        "in each, one alone may have more.",
    )
    max_wait_seconds: Positive = Field(
        default=120, description="How long a large request waits for its turn before it is told to come again (503)."
    )
    max_bundle_entries: Positive = 5000
    max_conditional_deletes: Positive = Field(
        default=1000, description="Resources that one conditional delete may remove."
    )
    max_body_values: Positive = Field(
        default=100_000, description="JSON values or XML elements of a body that is no batch or transaction."
    )
    max_bundle_values: Positive = Field(
        default=500_000, description="JSON values or XML elements of a batch or transaction."
    )
    max_parameters: Positive = Field(default=1000, description="Parameters of a URL or of a form.")
    max_request_seconds: float = Field(
        default=2, gt=0, description="Processor time of one request; a bundle has 2 ms more for each entry."
    )
    max_database_seconds: float = Field(
        default=20, gt=0, description="Time that each search of a request may take in the database."
    )
    max_waiting_requests: Positive = Field(
        default=256,
        description="Requests of one caller that wait because others of the same caller are worked on; beyond is 429.",
    )
    max_answer_bytes: Positive = Field(
        default=64 * 1024 * 1024, description="What a bundle, a GraphQL statement or a view may be answered with."
    )
    patient_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The part of the seconds, values and waiting that a caller who sees one patient has.",
    )
    max_depth: Positive = Field(default=100, description="Nesting depth of a JSON or XML body.")
    blob_threshold_bytes: Positive = Field(
        default=4 * 1024 * 1024, description="Resources larger than this are kept in GridFS rather than in a document."
    )

    subscription_days: float = Field(
        default=7, gt=0, description="Days that a Subscription's events are kept and a failing receiver is tried."
    )
    max_subscriptions: Positive = Field(default=10_000, description="Of one client for one user; a patient: 100.")
    max_pending_events: Positive = Field(default=100_000, description="Events that may wait for one receiver.")

    encryption_key_file: Path | None = Field(default=None, description="Holds the key that the database is under.")
    encryption_key: str | None = Field(default=None, repr=False, description="That key, in hexadecimal or base64.")
    encryption_key_service: Path | None = Field(default=None, description="Describes a key service that keeps it.")

    backup_dir: Path | None = Field(
        default=None, description="Folder of the backups that the server makes by itself; without it, it makes none."
    )
    backup_hours: float = Field(default=24, ge=1, description="A backup is made so long after the last one.")
    backup_daily: int = Field(default=7, ge=1, description="Of so many days the last backup is kept.")
    backup_weekly: int = Field(default=4, ge=0, description="Of so many weeks the last backup is kept.")
    backup_monthly: int = Field(default=12, ge=0, description="Of so many months the last backup is kept.")

    key_secret: str | None = Field(
        default=None, description="Protects the signing keys; without it a file of the data directory does."
    )
    refresh_leeway_seconds: float = Field(
        default=5,
        ge=0,
        le=60,
        description="Within this a public client may use a refresh token again, as two tabs do; a later second use "
        "ends the grant.",
    )
    max_sign_ups: Positive = Field(
        default=100, description="Sign-ups from one network address within 15 minutes before the next must wait."
    )
    allow_internal_urls: bool = Field(
        default=False,
        description="Ask clients' jwks_uri, Subscriptions' endpoints and sources of imports also by http and at "
        "private addresses.",
    )

    max_graphql_depth: int = Field(default=20, ge=1, description="Levels of a GraphQL statement.")
    max_graphql_fields: int = Field(default=2000, ge=1, description="Fields of a GraphQL statement and its fragments.")
    max_graphql_resources: int = Field(default=5000, ge=1, description="Resources that a GraphQL statement may read.")

    notify_days: Positive = Field(
        default=30, description="What happened longer before it was written is no news, and no patient is notified."
    )
    smtp_host: str | None = Field(default=None, description="Mails notifications; without it none are mailed.")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str | None = None
    smtp_password: str | None = None
    smtp_from: str = Field(default="no-reply@localhost", description="The address that mails come from.")

    stripe_secret_key: str | None = Field(default=None, description="Charges cards by Stripe; without it none are.")
    stripe_webhook_secret: str | None = Field(default=None, description="What Stripe signs its webhooks with.")
    stripe_api: str | None = Field(default=None, description="Another address of Stripe's API, for tests.")

    payer_url: str | None = Field(
        default=None, description="FHIR base of an insurer that answers CoverageEligibilityRequest/$submit."
    )
    payer_token: str | None = Field(default=None, description="Access token for the insurer's FHIR base.")
    arrival_hours_before: float = Field(default=2, description="How early a patient may register the arrival.")
    arrival_hours_after: float = Field(
        default=12, description="How long after the end of an appointment a patient may register the arrival."
    )
    booking_days_ahead: int = Field(default=400, ge=1, le=3650, description="How far ahead may be booked.")
    arrival_distance_km: float = Field(default=1, description="How near the clinic a patient must be to arrive.")

    log_format: Literal["json", "console"] = "console"
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(str.lower)] = "info"
    loop_warning_seconds: float = Field(
        default=0.25,
        ge=0,
        description="A worker logs where its event loop was held for longer, so that all others waited; 0 for never.",
    )
    slow_query_ms: float = Field(
        default=0,
        ge=0,
        description="A database command that takes longer is logged by its shape and plan, without values; 0: never.",
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of /metrics for Prometheus; without it nothing is measured."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address of /metrics; a token is needed beyond loopback."
    )
    metrics_token: str | None = Field(default=None, description="Bearer token that /metrics asks for.")
    log_requests: bool = Field(default=False, description="A line for each request, by its shape; no ids, no queries.")

    @property
    def served(self) -> frozenset[str]:
        """The names of the services that this process serves."""
        if self.services is None:
            return frozenset({"ehr"}) if self.fhir_base_url else SERVICES
        return frozenset(name.strip() for name in self.services.split(","))

    @property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the trusted proxies."""
        return tuple(ip_network(part.strip()) for part in (self.trusted_proxies or "").split(",") if part.strip())

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins whose pages may ask; ("*",) for any."""
        named = tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())
        return () if named == ("none",) else named

    @property
    def former_bases(self) -> tuple[str, ...]:
        """The canonical bases of before, which are read as well."""
        return tuple(part.strip() for part in self.former_canonical_bases.split(",") if part.strip())

    @property
    def own_bases(self) -> tuple[str, ...]:
        """The canonical bases of the hospital's own definitions, of now and of before."""
        return (self.canonical_base, *self.former_bases, DEFAULT_BASE)

    @model_validator(mode="after")
    def _serves_what_there_is(self) -> Self:
        unknown = self.served - SERVICES
        if unknown:
            raise ValueError(f"services: Input should be some of {', '.join(sorted(SERVICES))}")
        if self.fhir_base_url and self.served != {"ehr"}:
            raise ValueError("fhir_base_url: on another FHIR server only the service ehr can work, so services is ehr")
        return self

    @model_validator(mode="after")
    def _shows_metrics_to_those_meant(self) -> Self:
        if self.metrics_port is not None and not self.metrics_token and not is_loopback(self.metrics_host):
            raise ValueError("metrics_token: beyond loopback /metrics is shown only to who has the token; set one")
        if self.metrics_port is not None and self.metrics_port == self.port:
            raise ValueError("metrics_port: it must not be the port of the server itself")
        return self

    @field_validator("base_url", "fhir_base_url")
    @classmethod
    def _is_absolute(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^/?#]+[^?#]*", url):
            raise ValueError("Input should be an absolute URL such as https://fhir.example.org/fhir")
        return url

    @field_validator("canonical_base", "former_canonical_bases")
    @classmethod
    def _are_canonical_bases(cls, text: str, info: ValidationInfo) -> str:
        bases = (
            [text]
            if info.field_name == "canonical_base"
            else [part.strip() for part in text.split(",") if part.strip()]
        )
        if not all(_CANONICAL_BASE.fullmatch(base) for base in bases):
            raise ValueError(
                "Input should be a URL without a final slash, a query or a fragment, such as https://hospital.example"
            )
        return text

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        named = [part.strip() for part in text.split(",") if part.strip()]
        if named not in (["*"], ["none"]) and not (named and all(_ORIGIN.fullmatch(origin) for origin in named)):
            raise ValueError(
                "Input should be *, none, or origins such as https://app.example.org,http://localhost:3000"
            )
        return text

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str | None) -> str | None:
        for part in filter(None, (part.strip() for part in (text or "").split(","))):
            try:
                ip_network(part)
            except ValueError as error:
                raise ValueError("Input should be addresses or networks such as 10.0.0.7,192.168.0.0/24") from error
        return text

    @field_validator("default_timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("Input should be an IANA time zone such as Europe/Rome") from error
        return name


def settings_with(**changes: Any) -> Settings:
    """Return the settings, with what is given (and not None) over the environment and the file.

    Raises SettingsError naming every setting that cannot be used, without its value, which may be a secret.
    """
    try:
        return Settings(**{name: value for name, value in changes.items() if value is not None})
    except ValidationError as error:
        faults = (
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))))
            for fault in error.errors()
        )
        raise SettingsError(f"Settings that cannot be used: {'; '.join(faults)}.") from error
