"""FHIRPath, compiled: the expressions of search parameters and invariants, and those that callers send.

https://hl7.org/fhir/R4/fhirpath.html and https://hl7.org/fhirpath/N1/
"""

from fhir_server.r4.fhirpath.expression import Expression, compile
from fhir_server.r4.fhirpath.items import FhirPathError, Item, TooCostly
from fhir_server.r4.fhirpath.paths import Path, compile_path

__all__ = ["Expression", "FhirPathError", "Item", "Path", "TooCostly", "compile", "compile_path"]
