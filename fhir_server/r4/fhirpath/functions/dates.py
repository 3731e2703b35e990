"""The current date and time. https://hl7.org/fhirpath/N1/#current-date-and-time-functions"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fhir_server.r4.fhirpath.code import Code, of_items
from fhir_server.r4.fhirpath.functions.registry import built
from fhir_server.r4.fhirpath.items import FhirPathError, Item
from fhir_server.r4.fhirpath.syntax import Call

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


def _clock(name: str, type_name: str, text: Callable[[datetime], str]) -> None:
    @built(name)
    def build(compiler: Compiler, call: Call) -> Code:
        if compiler.search:
            raise FhirPathError(f"{name}() cannot stand in a search expression: an index does not change with time.")
        return of_items(lambda this, scope: [Item(type_name, text(datetime.now(UTC)))])


_clock("now", "System.DateTime", lambda now: now.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
_clock("today", "System.Date", lambda now: now.date().isoformat())
_clock("timeOfDay", "System.Time", lambda now: now.time().isoformat(timespec="milliseconds"))
