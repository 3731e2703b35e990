"""What is logged, and how: nothing personal. No query, no id but the request's, no body, no exception text.

A request is one line when the setting `log_requests` asks for it; a fault of the server's own always is.
"""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import time
import traceback
from types import TracebackType

import structlog

from fhir_server.settings import Settings
from fhir_server.work.request_id import request_id

_log = structlog.get_logger("fhir_server.http")


def configure(settings: Settings) -> None:
    """Set up all logging as the settings say: for people on a terminal or as JSON, on standard error.

    What libraries log, Python's warnings and exceptions that nobody caught take the same way, an exception without its
    text, and from warnings on: below that the database's driver would quote what is stored.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        _with_request_id,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_text],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda failure: _uncaught(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.unraisablehook = lambda failure: _uncaught(failure.exc_type, failure.exc_value, failure.exc_traceback)


def _with_request_id(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the request in whose course something is logged."""
    if text := request_id():
        event["request_id"] = text
    return event


def _without_text(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the exception of a library's log record by its kind and where it came from; its text may quote anything.

    `_record` is the standard library's; the formatter would print its exception beside the line.
    """
    record = event["_record"]
    event["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        event["kind"], event["frames"] = type(error).__name__, _frames(error.__traceback__)
    record.exc_info = record.exc_text = record.stack_info = None
    event.pop("exc_info", None)
    return event


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    _log.error("uncaught", kind=kind.__name__, frames=_frames(trace))


def _frames(trace: TracebackType | None) -> list[str]:
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    return frames[-12:]


def request(method: str, path: str, status: int, started: float) -> None:
    """Log a request by its method, the interaction's shape (ids may be a person's), status and milliseconds."""
    elapsed = round((time.perf_counter() - started) * 1000, 1)
    _log.info("request", method=method, path=_shape(path), status=status, ms=elapsed)


def serving(base_url: str, services: list[str], *, is_open: bool) -> None:
    """Log that the server begins to serve, and whether without authorization."""
    if is_open:
        _log.warning("serving", base_url=base_url, services=services, authorization=False)
    else:
        _log.info("serving", base_url=base_url, services=services, authorization=True)


def past_its_end(text: str) -> None:
    """Log that the database gets no security fixes any more."""
    _log.warning("database.past_its_end", text=text)


def refused(reason: str) -> None:
    """Log why a command cannot be carried out; what the operator can mend."""
    _log.critical("refused", reason=reason)


def fault(error: BaseException) -> str:
    """Log where the exception came from, but not its text, which may quote a resource; return a reference to tell."""
    reference = secrets.token_hex(6)
    _log.error("fault", reference=reference, kind=type(error).__name__, frames=_frames(error.__traceback__))
    return reference


def _shape(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return "/".join(part if part[0] in "_$" or part[0].isupper() or part == "fhir" else "…" for part in parts)
