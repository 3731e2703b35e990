"""FHIR packages: implementation guides and terminologies as they are published, installed into the database.

A package is an npm archive with a package.json and FHIR resources. `archive` reads one safely, `manifest` and
`versions` know its package.json, `registry` fetches by name and version, `resolution` says what belongs to an
installation, and `installing` carries it out. `library` finds what is installed.
https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""
