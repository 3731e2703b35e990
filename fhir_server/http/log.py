"""What is logged, and how: nothing personal. No query, no id, no body, no exception text ever reaches a line.

A request is one line when the setting `log_requests` asks for it; a fault of the server's own always is.
"""

from __future__ import annotations

import logging
import secrets
import sys
import time
import traceback

import structlog

from fhir_server.settings import Settings

_log = structlog.get_logger("fhir_server.http")


def configure(settings: Settings) -> None:
    """Set up structlog as the settings say: for people on a terminal or as JSON, on standard error."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def request(method: str, path: str, status: int, started: float) -> None:
    """Log a request by its method, the interaction's shape (ids may be a person's), status and milliseconds."""
    elapsed = round((time.perf_counter() - started) * 1000, 1)
    _log.info("request", method=method, path=_shape(path), status=status, ms=elapsed)


def fault(error: BaseException) -> str:
    """Log where the exception came from, but not its text, which may quote a resource; return a reference to tell."""
    reference = secrets.token_hex(6)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("fault", reference=reference, kind=type(error).__name__, frames=frames[-12:])
    return reference


def _shape(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    return "/".join(part if part[0] in "_$" or part[0].isupper() or part == "fhir" else "…" for part in parts)
