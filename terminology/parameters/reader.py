"""Reading a Parameters resource. https://hl7.org/fhir/R4/parameters.html"""

from __future__ import annotations

from typing import Any

from terminology.model.codings import Coding, read_coding
from terminology.model.concepts import Json
from terminology.model.issues import invalid
from terminology.model.options import Options
from terminology.parameters.structure import check_structure

_PASSED_OVER = {"uuid", "cache-id", "no-cache", "diagnostics", "tx-resource", "profile"}
"""Parameters that steer the exchange, and mean nothing to an operation."""


class ParametersReader:
    """The parameters of one request; remembers which were read."""

    def __init__(self, resource: Json) -> None:
        parameters = resource.get("parameter", [])
        if not isinstance(parameters, list) or not all(isinstance(each, dict) for each in parameters):
            raise invalid("Parameters.parameter is a list of parameters", code="structure", at="Parameters.parameter")
        self._parameters = [*_profile(parameters), *parameters]
        self._read: set[str] = set(_PASSED_OVER)

    def _named(self, name: str) -> list[Json]:
        self._read.add(name)
        return [each for each in self._parameters if each.get("name") == name]

    def text(self, *names: str) -> str | None:
        """Return a primitive parameter as text, None where there is none."""
        for name in names:
            for each in self._named(name):
                value = value_of(each)
                if value is None or isinstance(value, dict | list):
                    raise invalid(f"{name} has a primitive value", at=name)
                return "true" if value is True else "false" if value is False else str(value)
        return None

    def boolean(self, name: str) -> bool:
        """Return a boolean parameter, False where there is none."""
        value = self.text(name)
        if value not in (None, "true", "false"):
            raise invalid(f"{name} is true or false, not {value!r}", at=name)
        return value == "true"

    def element(self, name: str, kind: str) -> Json | None:
        """Return a parameter of a complex type, None where there is none."""
        for each in self._named(name):
            value = each.get(f"value{kind}")
            if not isinstance(value, dict):
                raise invalid(f"{name} is a {kind}", at=name)
            return value
        return None

    def elements(self, name: str, kind: str) -> list[Json]:
        """Return all values of a parameter of a complex type."""
        values = [each.get(f"value{kind}") for each in self._named(name)]
        return [each for each in values if isinstance(each, dict)]

    def resource(self, name: str, kind: str) -> Json | None:
        """Return a parameter that is a resource, None where there is none."""
        for each in self._named(name):
            content = each.get("resource")
            if not isinstance(content, dict) or content.get("resourceType") != kind:
                raise invalid(f"{name} is a {kind} resource", at=name)
            check_structure(content)
            return content
        return None

    def resources(self, name: str) -> list[Json]:
        """Return all parameters of a name that are resources."""
        contents = [each.get("resource") for each in self._named(name)]
        listed = [each for each in contents if isinstance(each, dict)]
        for each in listed:
            check_structure(each)
        return listed

    def parts(self, name: str) -> list[ParametersReader]:
        """Return the parts of each parameter of a name."""
        return [ParametersReader({"parameter": each.get("part", [])}) for each in self._named(name)]

    def value(self, name: str) -> tuple[str, Any] | None:
        """Return the FHIR type and the value of a parameter, None where there is none."""
        for each in self._named(name):
            for key, value in each.items():
                if key.startswith("value"):
                    return key[5].lower() + key[6:], value
        return None

    def options(self, *, validating: bool = False, accept_language: str | None = None) -> Options:
        """Return the parameters that operations share."""
        options = Options(validating=validating)
        if accept_language:
            options.accept_language(accept_language)
        for each in self._parameters:
            name, value = str(each.get("name", "")), value_of(each)
            if value is not None and options.read(name, value):
                self._read.add(name)
        return options

    def codings(self, coding: str, concept: str) -> tuple[list[Coding], Json | None]:
        """Return the codings of a `codeableConcept` or a `coding` parameter, and the CodeableConcept itself."""
        whole = self.element(concept, "CodeableConcept")
        if whole is not None:
            listed = whole.get("coding", [])
            return [read_coding(each) for each in listed if isinstance(each, dict)], whole
        one = self.element(coding, "Coding")
        return ([read_coding(one)] if one is not None else []), None

    @property
    def unread(self) -> list[str]:
        """The names of the parameters that nothing asked for."""
        return sorted({str(each.get("name")) for each in self._parameters} - self._read)


def _profile(parameters: list[Json]) -> list[Json]:
    """Return the parameters of a `profile`, itself a Parameters resource."""
    profiles = [each.get("resource") for each in parameters if each.get("name") == "profile"]
    lists = [each.get("parameter", []) for each in profiles if isinstance(each, dict)]
    return [each for listed in lists for each in listed if isinstance(each, dict)]


def value_of(parameter: Json) -> Any:
    """Return the `value[x]` of a parameter, None where there is none."""
    return next((value for name, value in parameter.items() if name.startswith("value")), None)
