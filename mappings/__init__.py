"""The hospital's tables and the FHIR resources they are."""
