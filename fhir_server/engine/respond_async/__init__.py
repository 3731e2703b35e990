"""Requests with `Prefer: respond-async`: taken at once, carried out behind the scenes, answered at their own URL.

The answer is a batch-response with one entry, as the asynchronous pattern of R5 has it; the manifest of R4's pattern
is that of bulk exports. https://hl7.org/fhir/R5/async-bundle.html
"""
