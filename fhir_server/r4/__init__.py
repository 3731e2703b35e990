"""FHIR R4 itself, pure: definitions, FHIRPath, validation, patching, XML."""
