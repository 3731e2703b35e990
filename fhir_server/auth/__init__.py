"""OAuth, OpenID Connect and SMART on FHIR."""
