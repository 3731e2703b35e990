"""The `fhir-server` command: one module a group of commands."""
