"""Terminology: what the server knows of code systems, value sets and concept maps, and FHIR's operations on them.

The operations themselves are the library `terminology`; `content` hands it what is stored, above what R4 itself defines
and above systems by rule. docs/reference/terminology.md says what is served.
"""
