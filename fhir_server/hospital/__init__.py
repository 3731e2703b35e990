"""The hospital: the domain whose 36 endpoints, tables and messages are FHIR resources underneath."""
