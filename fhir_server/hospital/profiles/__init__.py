"""Publishing the hospital's profiles and code systems under the FHIR base."""
