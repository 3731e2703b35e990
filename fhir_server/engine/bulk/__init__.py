"""Bulk Data Export: many resources as files, made behind the scenes. https://hl7.org/fhir/uv/bulkdata/STU2/export.html.

`kick_off` takes the parameters and stores an export; `steps` carries it out file by file, each step of
which any worker can take; `answers` tells how it stands and gives the files out.
"""
