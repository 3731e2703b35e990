"""Subscriptions: who is told of what is written, R4's by criteria and those by topic of the R5 Backport.

`definition` reads the resource, `registration` decides what may be stored, `registry` finds who is told of a version,
`notifications` says it, and `delivery` brings it there with the rights that its owner has by then.
https://hl7.org/fhir/R4/subscription.html, https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/
"""
