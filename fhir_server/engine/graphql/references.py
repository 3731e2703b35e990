"""The field `resource` of a Reference: what it refers to, in the same resource or on this server.

https://hl7.org/fhir/R4/graphql.html#references
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.engine.graphql.nodes import Node, root
from fhir_server.engine.graphql.places import ANY
from fhir_server.engine.graphql.searches import Reader
from fhir_server.errors import FhirError, NotFound, TooLarge
from fhir_server.r4.references import local
from fhir_server.work.budget import OutOfBudget


async def referenced(reader: Reader, reference: Node, arguments: Mapping[str, Any]) -> Node | None:
    """Return the resource; None for one of another type than asked for, or where a missing one is `optional`.

    Raises NotFound, Gone or Forbidden for one that cannot be had.
    """
    resource_type = arguments.get("type")
    types = (
        ANY
        if resource_type is None
        else frozenset(resource_type if isinstance(resource_type, list) else [resource_type])
    )
    url = str(reference.value.get("reference", ""))
    if not url:
        return None
    try:
        if url.startswith("#"):
            target: Node | None = _contained(url[1:], reference.resource)
            return target if target and target.type in types else None
        return await _read(reader, url, types)
    except (TooLarge, OutOfBudget):
        raise
    except FhirError:
        if arguments.get("optional") in (True, "true"):
            return None
        raise


async def _read(reader: Reader, url: str, types: frozenset[str]) -> Node | None:
    named = local(url, reader.context.base_url)
    if named is None:
        raise NotFound(f"The reference {url[:200]!r} leads to no resource of this server.")
    rest = named.id if named.version is None else f"{named.id}/_history/{named.version}"
    return root(await reader.read(named.type, rest)) if named.type in types else None


def _contained(name: str, container: Any) -> Node:
    resources = [container] if name == "" else container.get("contained", ())
    for each in resources:
        if name in ("", each.get("id")):
            return Node(each["resourceType"], each, container)
    raise NotFound(f"The resource contains no {name[:100]!r}.")
