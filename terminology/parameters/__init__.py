"""FHIR's form of requests and results: Parameters to requests, results to Parameters, ValueSet, ConceptMap and
OperationOutcome, as R4 JSON. The names of R5's parameters are understood beside those of R4.
"""
