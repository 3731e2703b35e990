"""The functions of FHIRPath, a module per chapter of its specification; importing them registers them."""

from fhir_server.r4.fhirpath.functions import (  # noqa: F401
    boundaries,
    collections,
    conversion,
    dates,
    encodings,
    existence,
    fhir,
    filtering,
    keys,
    math,
    sorting,
    strings,
    typing,
)
from fhir_server.r4.fhirpath.functions.registry import FUNCTIONS

__all__ = ["FUNCTIONS"]
