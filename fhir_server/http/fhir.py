"""The FHIR REST surface as an ASGI application: HTTP requests become engine requests, responses and errors become HTTP.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from fhir_server.audit.records import AccessRecord
from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.context import Context, Request, Response, Services
from fhir_server.engine.disclosure import Disclosure, disclosing
from fhir_server.engine.query_parameters import FORM
from fhir_server.engine.routes import allowed, route_of
from fhir_server.errors import BadRequest, FhirError, Issue, Unavailable, UnsupportedMediaType, operation_outcome
from fhir_server.http import log
from fhir_server.http.admission import COMPRESSION, Admission, rows_weight
from fhir_server.http.answer import (
    Answer,
    body_answer,
    content_headers,
    failure,
    marked,
    plain,
    rendered,
    resource_answer,
    response_headers,
)
from fhir_server.http.audit.access_record import access_record
from fhir_server.http.bearer import Authenticate
from fhir_server.http.content.bodies import (
    Form,
    parse_body,
    read_body,
    require_few_parameters,
    require_media_type,
    undone,
)
from fhir_server.http.content.pieces import pieces
from fhir_server.http.content.prefer import preferences
from fhir_server.http.content.raw_binary import is_raw_read, raw_answer
from fhir_server.http.content.representation import JSON_REPRESENTATION, Representation, choose
from fhir_server.http.headers import request_headers, require_single
from fhir_server.http.limits import Limits, caller_of, limits_of
from fhir_server.http.lines import CONTENT_TYPE, first_page, lines, next_page, require_no_pages, wants_lines
from fhir_server.r4.patching.formats import ACCEPT_PATCH
from fhir_server.settings import Settings
from fhir_server.work.budget import Budget, counted, working
from fhir_server.work.threads import SMALL, sized

_OPEN = OpenAccess()
Handle = Callable[[Context, Request], Awaitable[Response]]
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_OWN_QUERY = frozenset({"_format", "_pretty"})


@dataclass(slots=True)
class _Seen:
    """What became known of a request on its way, for the record of the access."""

    access: Access | None = None
    limits: Limits | None = None
    request: Request | None = None
    response: Response | None = None
    disclosure: Disclosure = field(default_factory=Disclosure)
    as_lines: bool = False
    """Whether this is the first page of an answer in lines."""


class FhirApp:
    """Serves one FHIR base. `prefix` is the path it stands under.

    `services` is set when the database is connected; `authenticate` and `record`, which writes each access down before
    its answer leaves, beside it, unless everybody may do everything. `admission` gives large requests their turns, and
    `answers` those that may find many resources.
    """

    def __init__(
        self,
        handle: Handle,
        base_url: str,
        prefix: str,
        admission: Admission | None = None,
        answers: Admission | None = None,
    ) -> None:
        self.handle = handle
        self.admission = admission or Admission.of(Settings())
        self.answers = answers or Admission.of_answers(Settings())
        self.base_url = base_url
        self.prefix = prefix
        self.services: Services | None = None
        self.authenticate: Authenticate | None = None
        self.record: Callable[[AccessRecord], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        answer = await self._as_lines(scope, receive) or await self._recorded(scope, receive)
        await send({"type": "http.response.start", "status": answer.status, "headers": marked(answer.headers)})
        if answer.pieces is not None and scope["method"] != "HEAD":
            async for piece in answer.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})
        if self.services is not None and self.services.settings.log_requests:
            log.request(scope["method"], scope["path"], answer.status, started)

    async def _as_lines(self, scope: Scope, receive: Receive) -> Answer | None:
        """Return the answer to a search that is to be answered as lines; None for every other request."""
        headers = request_headers(scope["headers"])
        try:
            path, query = _path(scope, self.prefix), _query(scope)
            if not wants_lines(scope["method"], path, query, headers):
                return None
        except BadRequest as error:
            return await rendered(failure(error, JSON_REPRESENTATION))
        first = await self._recorded(first_page(scope, query), receive, as_lines=True)
        if first.status != 200:
            return first

        async def ask(url: str) -> Answer:
            following, _, next_query = url.removeprefix(self.base_url).partition("?")
            return await self._recorded(next_page(scope, self.prefix + following, next_query), receive)

        return Answer(200, [(b"content-type", CONTENT_TYPE.encode())], b"", pieces=lines(first, ask))

    async def _recorded(self, scope: Scope, receive: Receive, *, as_lines: bool = False) -> Answer:
        """Return the answer to a request whose access is written down."""
        seen = _Seen(as_lines=as_lines)
        with disclosing() as seen.disclosure:
            answer = await self._answer(scope, receive, request_headers(scope["headers"]), seen)
            return self._record(scope, answer, seen)

    async def _answer(self, scope: Scope, receive: Receive, headers: Mapping[str, str], seen: _Seen) -> Answer:
        representation = JSON_REPRESENTATION
        try:
            if scope["method"] == "OPTIONS":
                return _options(_path(scope, self.prefix))
            query = _query(scope)
            representation = _representation(_path(scope, self.prefix), query, headers)
            require_single(scope["headers"])
            seen.access = access = await self.authenticate(headers) if self.authenticate else _OPEN
            seen.limits = limits = limits_of(self._settings, access)
            budget = Budget(
                limits.seconds,
                caller=caller_of(scope, access),
                most_waiting=limits.waiting,
                database_seconds=limits.database_seconds,
            )
            with working(budget):
                return await counted(self._carried_out(scope, receive, headers, query, seen), budget)
        except FhirError as error:
            if error.status == UnsupportedMediaType.status and scope["method"] == "PATCH":
                error.headers["Accept-Patch"] = ACCEPT_PATCH
            return await rendered(failure(error, representation))
        except Exception as error:  # the one place where a fault of ours becomes an answer
            reference = log.fault(error)
            text = f"The server met a fault of its own; it is logged under {reference}."
            return await rendered(resource_answer(500, operation_outcome([Issue("exception", text)]), representation))

    async def _carried_out(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[str, str],
        query: list[tuple[str, str]],
        seen: _Seen,
    ) -> Answer:
        assert seen.access is not None and seen.limits is not None  # noqa: PT018 - both, since it is known who calls
        require_few_parameters(scope["query_string"], seen.limits.parameters)
        seen.request = request = self._request(scope, headers, query)
        async with AsyncExitStack() as turn:
            if request.method in _WITH_BODY:
                await self._take_body(request, receive, headers, seen, turn)
            representation = _representation(request.path, request.query, headers)  # of a form, too
            await turn.enter_async_context(self.answers.turn(rows_weight(request, self._settings), receive))
            context = self._context(headers, seen.access)
            request.wants_content = request.method in ("GET", "HEAD") and is_raw_read(request.path, query, headers)
            seen.response = response = await self.handle(context, request)
            if request.wants_content and response.status == 200:
                return await _raw(request, response, headers, response_headers(response, self.base_url))
            answer = self._success(context, request, response, headers, representation)
            if response.location is None:
                return await rendered(answer)
            # What was written is told, whatever that costs: a refusal would say that nothing has changed.
            with working(Budget(inf, caller=caller_of(scope, seen.access))):
                return await rendered(answer)

    def _record(self, scope: Scope, answer: Answer, seen: _Seen) -> Answer:
        """Write the access down and return its answer; where that fails, nobody gets to see it."""
        if self.record is None:
            return answer
        path = scope["path"][len(self.prefix) :].strip("/")
        if path == "metadata" or scope["method"] == "OPTIONS":
            return answer
        try:
            record = access_record(
                scope,
                path,
                answer.status,
                access=seen.access,
                request=seen.request,
                response=seen.response,
                disclosure=seen.disclosure,
            )
            self.record(record)
        except OSError as error:
            reference = log.fault(error)
            refused = Unavailable(f"The access cannot be recorded now; this is logged under {reference}.")
            return plain(failure(refused, JSON_REPRESENTATION))
        return answer

    def _context(self, headers: Mapping[str, str], access: Access) -> Context:
        assert self.services is not None
        prefer = headers.get("prefer")
        context = Context(self.services, self.base_url, access, handling=self.services.settings.search_handling)
        context.reads_only = True
        if prefer is not None:
            preferred = preferences(prefer)
            context.prefer_return = preferred.returns
            context.handling = preferred.handling or context.handling
            context.respond_async = preferred.respond_async
        return context

    def _request(self, scope: Scope, headers: Mapping[str, str], query: list[tuple[str, str]]) -> Request:
        return Request(
            scope["method"],
            _path(scope, self.prefix),
            query,
            if_match=headers.get("if-match"),
            if_none_match=headers.get("if-none-match"),
            if_modified_since=headers.get("if-modified-since"),
            if_none_exist=headers.get("if-none-exist"),
            accept_language=headers.get("accept-language"),
            accept=headers.get("accept"),
        )

    async def _take_body(
        self, request: Request, receive: Receive, headers: Mapping[str, str], seen: _Seen, turn: AsyncExitStack
    ) -> None:
        """Give the request what its body says; a large one's turn lasts until the stack is closed."""
        # Before the body is read: who may not do this cannot make the server work on it either.
        route = route_of(request.method, request.path)
        access, limits = seen.access, seen.limits
        assert access is not None and limits is not None  # noqa: PT018 - both, since it is known who calls
        access.require(route.interaction, route.type)
        compressed = "content-encoding" in headers
        with self.admission.body(receive) as arriving:
            body = await read_body(arriving.receive, headers, limits)
            if body:
                require_media_type(route.interaction, request.path, headers)
            await turn.enter_async_context(self.admission.turn(len(body) * (COMPRESSION if compressed else 1), receive))
        # What is compressed may become large.
        size = SMALL + 1 if compressed else len(body)
        parsed = await sized(size, self._parsed, body, request, headers, limits)
        if isinstance(parsed, Form):
            if seen.as_lines:
                require_no_pages(parsed, and_form=True)
            request.query = request.query + parsed
        else:
            request.resource = parsed

    def _parsed(self, body: bytes, request: Request, headers: Mapping[str, str], limits: Limits) -> Any:
        body = undone(body, headers, limits)
        request.size = len(body)
        return parse_body(body, request.path, request.method, headers, limits)

    @property
    def _settings(self) -> Settings:
        assert self.services is not None
        return self.services.settings

    def _success(
        self,
        context: Context,
        request: Request,
        response: Response,
        headers: Mapping[str, str],
        representation: Representation,
    ) -> Answer:
        sent = response_headers(response, self.base_url)
        if response.download is not None:
            sending = pieces(response.download, headers, response.content_type or "application/octet-stream")
            return Answer(sending.status, [*sent, *sending.headers], b"", pieces=sending.body)
        if response.json is None or response.status == 304:
            return Answer(response.status, [*sent, (b"content-length", b"0")], b"")
        if response.content_type is not None:
            described = content_headers(response.content_type, len(response.json))
            return Answer(response.status, [*sent, *described], response.json)
        if request.method not in ("GET", "HEAD") and response.location is not None:
            return _written(context, response, sent, representation)
        return body_answer(response.status, response.json, representation, sent)


def _options(path: str) -> Answer:
    """Return which methods a path takes, and which patches; it is the same for all callers, and tells of no resource.

    https://www.rfc-editor.org/rfc/rfc5789#section-3.1
    """
    methods = allowed(path)
    patches = [(b"accept-patch", ACCEPT_PATCH.encode())] if "PATCH" in methods else []
    return Answer(200, [(b"allow", methods.encode()), *patches, (b"content-length", b"0")], b"")


async def _raw(
    request: Request, response: Response, headers: Mapping[str, str], sent: list[tuple[bytes, bytes]]
) -> Answer:
    """Return the content of a Binary, or the parts that are asked for; raises RangeNotSatisfiable."""
    status, part_headers, body = await raw_answer(request, response, headers)
    return Answer(status, [*sent, *part_headers, *_UNTRUSTED], body)


def _written(
    context: Context, response: Response, sent: list[tuple[bytes, bytes]], representation: Representation
) -> Answer:
    if context.prefer_return == "minimal":
        return Answer(response.status, [*sent, (b"content-length", b"0")], b"")
    if context.prefer_return == "OperationOutcome":
        done = Issue("informational", f"Stored as {response.location}.", (), "information")
        return resource_answer(response.status, operation_outcome([done, *response.warnings]), representation, sent)
    return body_answer(response.status, response.json or b"", representation, sent)


_UNTRUSTED = [
    # Content that others uploaded must not run in the origin of this server.
    (b"content-security-policy", b"sandbox; default-src 'none'"),
]


def _path(scope: Scope, prefix: str) -> str:
    # Decoded segment by segment: an encoded slash is part of an id (and refused there), not a separator.
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0][len(prefix) :]
    try:
        return "/".join(unquote(part, errors="strict") for part in path.strip("/").split("/"))
    except UnicodeDecodeError as error:
        raise BadRequest("The path is not valid UTF-8.") from error


def _query(scope: Scope) -> list[tuple[str, str]]:
    raw = scope["query_string"]
    if not raw:
        return []
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The query is not a valid, percent-encoded UTF-8 string.") from error


def _representation(path: str, query: list[tuple[str, str]], headers: Mapping[str, str]) -> Representation:
    if path.startswith("_async/") and path.count("/") > 1:
        return JSON_REPRESENTATION  # of an error; a file has the one form that its manifest says
    if path.endswith("$viewdefinition-run"):
        return JSON_REPRESENTATION  # of an error; the rows have forms of their own
    if path.startswith("Binary/") and is_raw_read(path, query, headers):
        return JSON_REPRESENTATION  # of an error; Accept is about the content
    if not query:
        return choose(headers.get("accept"))
    parameters: dict[str, str] = {}
    for name, value in query:
        if name in FORM and parameters.setdefault(name, value) != value:
            raise BadRequest(f"{name} is sent twice, with different values.")
    return choose(headers.get("accept"), parameters.get("_format"), parameters.get("_pretty"))
