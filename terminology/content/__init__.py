"""Where content comes from: the protocols that a source and a code system satisfy, and those that hold FHIR resources
in memory.
"""
