"""A file as an HTTP response: whole, not modified, or the range that is asked for. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.records.document_files import DocumentFile
from fhir_server.http.content.byte_range import OutsideContentError, byte_ranges, partial_content
from fhir_server.http.streamed import StreamedResponse


async def response(request: Request, file: DocumentFile, headers: dict[str, str]) -> Response:
    """Return the response with the file, of which only what is sent is read; raises Problem for a range outside it."""
    sent = {**headers, "ETag": file.etag, "Accept-Ranges": "bytes", "Content-Type": file.content_type}
    if _matches(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=sent)
    condition, size = request.headers.get("if-range"), file.content.size
    try:
        parts = byte_ranges(request.headers.get("range"), size) if condition in (None, file.etag) else ()
    except OutsideContentError as error:
        raise Problem("range_not_satisfiable", headers={"Content-Range": error.content_range}) from error
    if not parts:
        whole = {**sent, "Content-Length": str(size)}
        return StreamedResponse(file.content.pieces(), media_type=file.content_type, headers=whole)
    part_headers, data = await partial_content(file.content, parts, file.content_type)
    return Response(data, 206, headers={**sent, **part_headers})


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags
