"""One module per FHIR interaction."""
