"""The FHIR R4 server: its engine, its HTTP face and its authorization server."""
