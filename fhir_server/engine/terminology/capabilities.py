"""What the server says of its terminology service: TerminologyCapabilities, features, and the FHIR versions it speaks.

https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

from importlib.metadata import version as package_version
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.routes import Route
from fhir_server.engine.terminology.definitions import EXPAND
from fhir_server.r4 import official as r4
from fhir_server.r4 import values
from fhir_server.r4.definitions import OperationParameter
from terminology.systems import rule_based_systems
from terminology.systems.ucum import URL as UCUM

Json = dict[str, Any]

RELEASED = "2026-11-22"
"""The day of this release: statements change with the code, not with the clock."""
TERMINOLOGY_SERVER = "http://hl7.org/fhir/CapabilityStatement/terminology-server"
_FEATURE = "http://hl7.org/fhir/uv/application-feature/StructureDefinition/feature"


def _feature(definition: str, **value: Any) -> Json:
    stated = [{"url": "definition", "valueCanonical": definition}, {"url": "value", **value}]
    return {"url": _FEATURE, "extension": stated}


FEATURES = [
    _feature("http://hl7.org/fhir/uv/tx-tests/FeatureDefinition/test-version", valueCode="1.8.0"),
    _feature("http://hl7.org/fhir/uv/tx-ecosystem/FeatureDefinition/CodeSystemAsParameter", valueBoolean=True),
]
"""Which version of HL7's terminology tests the server is held to, and that code systems may come with a request."""


def terminology_capabilities(base_url: str | None) -> Json:
    """Return the TerminologyCapabilities of the server at a base URL.

    The code systems are those that it has by itself; which ones are stored, a search of CodeSystem tells.
    """
    systems = sorted({UCUM, *(each.info.url for each in rule_based_systems()), *r4.official_urls("CodeSystem")})
    parameters = sorted({each.name for each in EXPAND.parameter if _is_parameter(each)})
    return {
        "resourceType": "TerminologyCapabilities",
        "id": "fhir-server",
        "url": f"{base_url or 'http://localhost/fhir'}/metadata?mode=terminology",
        "version": package_version("fhir-server"),
        "name": "FhirServerTerminology",
        "title": "FHIR R4 server: terminology",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "software": {"name": "fhir-server", "version": package_version("fhir-server")},
        "implementation": {"description": "FHIR R4 server on MongoDB"} | ({"url": base_url} if base_url else {}),
        "codeSystem": [{"uri": url} for url in systems],
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in parameters],
            "textFilter": "Words of the filter, each as the beginning of a word of the code or of any designation.",
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": True},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }


def _is_parameter(parameter: OperationParameter) -> bool:
    return parameter.use == "in"


async def versions(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with the FHIR versions that are spoken here. https://hl7.org/fhir/R4/capabilitystatement-operation-versions.html"""
    named = [{"name": name, "valueCode": "4.0"} for name in ("version", "default")]
    return Response(200, values.encode({"resourceType": "Parameters", "parameter": named}))
