"""One log line a request and one a fault, without personal data: no query, no id, no body, no exception text."""

from __future__ import annotations

import secrets
import time
import traceback

import structlog

_log = structlog.get_logger("fhir_server.http")


class Timer:
    """Times one request and logs it."""

    __slots__ = ("started",)

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def log(self, method: str, path: str, status: int) -> None:
        """Log the request by its method and the type it is about; ids in a path may be a person's."""
        if status >= 500 or _log.is_enabled_for(10):
            elapsed = round((time.perf_counter() - self.started) * 1000, 1)
            _log.info("request", method=method, path=_shape(path), status=status, ms=elapsed)


def fault(error: BaseException) -> str:
    """Log where the exception came from, but not its text, which may quote a resource; returns the reference to tell the caller."""
    reference = secrets.token_hex(6)
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("fault", reference=reference, kind=type(error).__name__, frames=frames[-12:])
    return reference


def _shape(path: str) -> str:
    return "/".join(
        part if part[:1] in "_$" or part[:1].isupper() or part == "fhir" else "…" for part in path.split("/") if part
    )
