"""FHIR search, pure: what is indexed and what a query becomes."""
