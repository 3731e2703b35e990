"""What an interaction is given and what it returns: the request, the response, and the server's services around them.

A request is the same whether it came over HTTP or stands as an entry of a batch or transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from fhir_server.engine.access import Access, OpenAccess
from fhir_server.errors import Issue

if TYPE_CHECKING:
    from fhir_server.engine.profiles.content import ProfileContent
    from fhir_server.engine.search_parameter_sync import SearchParameterSync
    from fhir_server.engine.terminology.content import TerminologyContent
    from fhir_server.engine.terminology.remote import RemoteTerminology
    from fhir_server.engine.writes import Write
    from fhir_server.packages.library import DefinitionLibrary
    from fhir_server.settings import Settings
    from fhir_server.store.database.mongo import Database, Session
    from fhir_server.store.encryption.following import KeyFollower
    from fhir_server.store.resources.contents import Content
    from fhir_server.store.resources.history import HistoryStore
    from fhir_server.store.resources.resources import ResourceStore, Version
    from fhir_server.store.search.search import SearchStore
    from fhir_server.store.stores import Stores
    from fhir_server.store.terminology.canonicals import CanonicalStore
    from fhir_server.vocabulary.opened import OpenVocabularies

Return = Literal["minimal", "representation", "OperationOutcome"]
Handling = Literal["lenient", "strict"]


@dataclass(slots=True)
class Request:
    """One interaction as asked for: `path` is relative to the base and has no leading slash, values are decoded."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    resource: Any = None
    """The parsed body: a resource, the operations of a JSON Patch, a MergePatch or an XmlPatch."""
    body: bytes = b""
    content_type: str = ""
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None
    accept_language: str | None = None
    accept: str | None = None
    """What an operation with a form of its own is to answer with."""
    size: int = 0
    """Bytes of the body as JSON or XML, however it was compressed."""
    wants_content: bool = False
    """Whether a Binary is read for its content alone: then `Response.content` may tell where that is."""
    place: str = ""
    """FHIRPath of the request in a bundle ("Bundle.entry[3]"), empty for a direct one."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is sent in pieces: both ways of writing it, each from a byte on, and how long they are."""

    plain: Callable[[int], AsyncIterator[bytes]]
    length: int
    gzip: Callable[[int], AsyncIterator[bytes]]
    gzip_length: int
    tag: str
    """Names the file among all there ever were."""


@dataclass(slots=True)
class Response:
    """What an interaction answers; `json` holds the finished bytes of a resource, or nothing."""

    status: int
    json: bytes | None = None
    version: int | None = None
    updated: datetime | None = None
    location: str | None = None
    """Relative URL of the version that was made: "Patient/1/_history/2"."""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None
    """What `json` is, where it is no resource."""
    content: Content | None = None
    """The content of a Binary that was read for it, where `json` is the resource without it."""
    warnings: tuple[Issue, ...] = ()
    """What the caller is told beside the success."""
    download: Download | None = None
    """What is sent instead of `json`, in pieces."""


Ask = Callable[[Request], Awaitable[Response]]
"""Has an interaction carried out for one caller, wherever the resources are; raises a FhirError."""


@dataclass(slots=True)
class Services:
    """What every request shares: the stores, the settings, the key that signs paging links, the search parameters."""

    database: Database
    resources: ResourceStore
    history: HistoryStore
    search: SearchStore
    canonicals: CanonicalStore
    stores: Stores
    settings: Settings
    signing_key: bytes
    following: SearchParameterSync
    terminology: TerminologyContent
    definitions: DefinitionLibrary
    profiles: ProfileContent
    vocabularies: OpenVocabularies
    remote: RemoteTerminology
    keys: KeyFollower | None = None
    """The keys of the database, where it is encrypted."""
    authorization_endpoints: Mapping[str, str] | None = None
    """Those of the outside authorization server that the settings name, as far as it tells them; None without one."""
    reading: Services | None = None
    """The same with stores that read from secondaries, where the settings allow it; nothing is to be written by it."""


@dataclass(slots=True)
class Context:
    """One caller's request in progress."""

    services: Services
    base_url: str
    """Absolute URL of the FHIR base, without a final slash."""
    access: Access = field(default_factory=OpenAccess)
    prefer_return: Return | None = None
    """What Prefer asks to be returned; unsaid means the resource, and in bundles just the outcome."""
    handling: Handling = "lenient"
    respond_async: bool = False
    """Whether Prefer asks to be answered before the work is done."""
    quiet: bool = False
    """Whether nobody is to be notified of what is written: it is loaded, not new."""
    session: Session | None = None
    """The MongoDB transaction that the interaction is part of."""
    read_ahead: dict[tuple[str, str], Version | None] = field(default_factory=dict)
    """Current versions that a transaction has read ahead for all its entries."""
    pending: list[Write] | None = None
    """The writes of a transaction, collected until they are flushed; None outside of one."""
    retired: list[str] = field(default_factory=list)
    """Who is not active any more by what a transaction writes; their access ends when it is stored."""
    reads_only: bool = False
    """Whether what is read only goes to the caller, so that secondaries may serve it; the engine takes it back for
    every interaction that may write by what it reads."""
    dispatch: Callable[[Context, Request], Awaitable[Response]] | None = None
    """Runs a request as an entry of a bundle; set by the engine, so that bundles need not import it."""


def now() -> datetime:
    """Return the time in UTC, cut to the milliseconds that FHIR instants and BSON dates share."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def instant(time: datetime) -> str:
    """Return a UTC time as a FHIR instant with milliseconds."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"  # %Y of the year 2 would be one digit


def instant_of(milliseconds: int) -> str:
    """Return a time in milliseconds since 1970 as a FHIR instant."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
