"""XML Patch (RFC 5261) on a resource's XML form: `operations` reads a patch, `selectors` the paths in it.

https://www.rfc-editor.org/rfc/rfc5261
"""

from fhir_server.r4.patching.xml_patch.application import apply
from fhir_server.r4.patching.xml_patch.operations import XmlPatch, read

__all__ = ["XmlPatch", "apply", "read"]
