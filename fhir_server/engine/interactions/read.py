"""The read and vread interactions, conditional or not. https://hl7.org/fhir/R4/http.html#read."""

from __future__ import annotations

import re

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.disclosure import note_resource
from fhir_server.engine.interactions.preconditions import not_modified
from fhir_server.engine.search import subsets
from fhir_server.errors import Gone, NotFound
from fhir_server.store.resources.content_reading import read_content
from fhir_server.store.resources.resources import Version

_VERSION = re.compile(r"[1-9][0-9]{0,17}")


async def read(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Answer with the current version: 200, or 304 when the caller has it; raises NotFound or Gone."""
    if request.wants_content:
        return await _content(context, request, resource_type, resource_id, None)
    version = await context.services.resources.read(
        resource_type, resource_id, where=context.access.visible(resource_type, "read"), session=context.session
    )
    if version is None:
        version = await defined(context, resource_type, resource_id)
    return _answer(context, request, version, f"{resource_type}/{resource_id}")


async def vread(context: Context, request: Request, resource_type: str, resource_id: str, version_id: str) -> Response:
    """Answer with one version; raises NotFound, or Gone for the version that is a deletion."""
    if request.wants_content and _VERSION.fullmatch(version_id):
        return await _content(context, request, resource_type, resource_id, int(version_id))
    version = None
    if _VERSION.fullmatch(version_id):
        version = await context.services.resources.read_version(
            resource_type,
            resource_id,
            int(version_id),
            where=context.access.visible(resource_type, "vread"),
            session=context.session,
        )
    if version is None:
        definition = await defined(context, resource_type, resource_id, "vread")
        version = definition if definition is not None and str(definition.version) == version_id else None
    return _answer(context, request, version, f"{resource_type}/{resource_id}/_history/{version_id}")


async def defined(context: Context, resource_type: str, resource_id: str, interaction: str = "read") -> Version | None:
    """Return what R4 or a package defines under an id that the site has not used, as far as the caller may see it."""
    where = context.access.visible(resource_type, interaction)
    definition = await context.services.definitions.read(resource_type, resource_id, where, context.session)
    return None if definition is None else definition.version


async def _content(
    context: Context, request: Request, resource_type: str, resource_id: str, version_id: int | None
) -> Response:
    """Answer with a Binary as `_answer` does, but leave its content where it is."""
    where = context.access.visible(resource_type, "read" if version_id is None else "vread")
    url = f"{resource_type}/{resource_id}" + ("" if version_id is None else f"/_history/{version_id}")
    binary = await read_content(context.services.resources, resource_id, version_id, where=where)
    response = _answer(context, request, binary[0] if binary else None, url)
    response.content = binary[1] if binary else None
    return response


def _answer(context: Context, request: Request, version: Version | None, url: str) -> Response:
    if version is None:
        raise NotFound(f"{url} does not exist.")
    if version.deleted:
        gone = Gone(f"{url} has been deleted.")
        gone.headers["ETag"] = f'W/"{version.version}"'
        raise gone
    if (request.if_none_match or request.if_modified_since) and not_modified(request, version):
        return Response(304, None, version.version, version.updated)
    note_resource(context.base_url, version.type, version.id, version.json)
    return Response(200, subsets.shown(version.json, request.query, version.type), version.version, version.updated)
