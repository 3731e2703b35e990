"""How log lines look: for people on a terminal, or JSON for a collector."""

from __future__ import annotations

import logging
import sys

import structlog

from fhir_server.settings import Settings


def configure(settings: Settings) -> None:
    """Set up structlog as the settings say; lines go to standard error."""
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    renderer = structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
