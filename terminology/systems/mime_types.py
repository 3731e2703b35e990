"""BCP 13: MIME types, judged by their form.

https://www.rfc-editor.org/rfc/rfc6838, https://www.rfc-editor.org/rfc/rfc2045
"""

from __future__ import annotations

import re

from terminology.model.concepts import CodeSystemInfo, Concept
from terminology.systems.grammar import GrammarCodeSystem, named

URL = "urn:ietf:bcp:13"
_LONGEST = 300
_TYPES = "application|audio|example|font|haptics|image|message|model|multipart|text|video|x-[a-z0-9-]+"
_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_VALUE = r"""(?:[^\s"(),/:;<=>?@[\]\\]+|"(?:[^"\\]|\\.)*")"""
_MIME_TYPE = re.compile(rf"(?:{_TYPES})/{_NAME}(?:[ \t]*;[ \t]*{_NAME}={_VALUE})*", re.IGNORECASE)


_COMMON = [
    *(f"application/{each}" for each in ("dicom", "fhir+json", "fhir+xml", "gzip", "hl7-cda+xml", "json", "msword")),
    *(f"application/{each}" for each in ("octet-stream", "ogg", "pdf", "rtf", "x-hl7", "xhtml+xml", "xml", "zip")),
    *(f"audio/{each}" for each in ("basic", "mp4", "mpeg", "ogg", "wav", "webm")),
    *(f"image/{each}" for each in ("bmp", "gif", "jp2", "jpeg", "png", "svg+xml", "tiff", "webp")),
    *("model/vrml", "multipart/form-data", "multipart/mixed", "multipart/related"),
    *(f"text/{each}" for each in ("calendar", "css", "csv", "html", "markdown", "plain", "rtf", "vcard", "xml")),
    *(f"video/{each}" for each in ("mp4", "mpeg", "ogg", "quicktime", "webm")),
]


class MimeTypes(GrammarCodeSystem):
    """The code system of MIME types, with parameters; an expansion lists some that are common in health care."""

    def __init__(self) -> None:
        super().__init__(
            CodeSystemInfo(
                URL,
                name="MimeTypes",
                title="MIME types",
                status="active",
                language="en",
                case_sensitive=False,
                compositional=True,
                closed=False,
            ),
            _COMMON,
        )

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a MIME type, type and subtype in lower case."""
        if len(code) > _LONGEST or not _MIME_TYPE.fullmatch(code):
            return None
        essence, semicolon, parameters = code.partition(";")
        written = essence.lower() + semicolon + parameters
        return named(written, written)
