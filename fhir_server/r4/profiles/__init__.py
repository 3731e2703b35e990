"""Profiles: StructureDefinitions that constrain a type, their snapshots, and the checks they are compiled to.

`definitions` is the protocol by which definitions come, `snapshot` makes the full list of elements from what a profile
says of its base. https://hl7.org/fhir/R4/profiling.html
"""
