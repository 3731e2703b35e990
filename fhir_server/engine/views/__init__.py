"""SQL on FHIR: views over what is stored, or over resources that are sent. https://sql-on-fhir.org/ig/

The rules of a view are `fhir_server.r4.views`; here it is given what the caller sees.
"""
