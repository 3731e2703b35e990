"""Where profiles find the definitions they are built on: by canonical URL, from any number of layers."""

from __future__ import annotations

from typing import Any, Protocol

from fhir_server.r4.official import official_resource, official_version

Json = dict[str, Any]

STRUCTURES = "http://hl7.org/fhir/StructureDefinition/"
"""Where the URLs of R4's own StructureDefinitions begin."""


class Definitions(Protocol):
    """StructureDefinitions by canonical URL; a source may raise an exception of its own to have one loaded first."""

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return the StructureDefinition, the latest where no version is named; None where there is none.

        The resource is shared: callers must not change it.
        """
        ...


class OfficialDefinitions:
    """What R4 4.0.1 itself defines, as it is shipped with the server."""

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return one of R4's own StructureDefinitions."""
        stated = official_version("StructureDefinition", url)
        if stated is None or version not in (None, stated):
            return None
        return official_resource("StructureDefinition", url)


class LayeredDefinitions:
    """Several sources, of which the first that has a definition answers."""

    def __init__(self, *layers: Definitions) -> None:
        self._layers = layers

    def structure(self, url: str, version: str | None = None) -> Json | None:
        """Return the StructureDefinition of the first source that has it."""
        for layer in self._layers:
            structure = layer.structure(url, version)
            if structure is not None:
                return structure
        return None


def split_canonical(canonical: str) -> tuple[str, str | None]:
    """Return a canonical's URL and, where it names one, its version; a fragment is left out."""
    url, _, version = canonical.partition("#")[0].partition("|")
    return url, version or None


def type_url(type_code: str) -> str:
    """Return the canonical URL of a type's own definition by the code that ElementDefinition.type has."""
    return type_code if "/" in type_code else STRUCTURES + type_code
