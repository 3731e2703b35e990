"""Codings, as callers send them. https://hl7.org/fhir/R4/datatypes.html#Coding"""

from __future__ import annotations

from dataclasses import dataclass

from terminology.model.concepts import Json
from terminology.model.versions import canonical


@dataclass(frozen=True, slots=True)
class Coding:
    """A code with its system, and the display that was sent with it."""

    system: str | None = None
    version: str | None = None
    code: str | None = None
    display: str | None = None

    def described(self, system: str | None = None) -> str:
        """Return the coding as messages name it: `system|version#code ('display')`."""
        name = f"{canonical(system or self.system or '', self.version)}#{self.code}"
        return f"{name} ('{self.display}')" if self.display else name


def read_coding(element: Json) -> Coding:
    """Return the coding that an element is."""
    values = (element.get(name) for name in ("system", "version", "code", "display"))
    return Coding(*(value if isinstance(value, str) and value else None for value in values))
