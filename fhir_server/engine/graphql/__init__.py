"""GraphQL over FHIR: one statement that reads, searches, follows references and picks the elements that are wanted.

graphql-core reads the syntax. What is executed are the engine's own interactions, so that every access rule holds.
https://hl7.org/fhir/R4/graphql.html
"""
