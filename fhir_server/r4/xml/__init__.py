"""The XML form of resources, to and from the JSON form that the rest of the server works on.

https://hl7.org/fhir/R4/xml.html
"""

from fhir_server.r4.xml.reader import from_xml
from fhir_server.r4.xml.writer import to_xml

__all__ = ["from_xml", "to_xml"]
