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


class MimeTypes(GrammarCodeSystem):
    """The code system of MIME types, with parameters."""

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
                enumerable=False,
            )
        )

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a MIME type, type and subtype in lower case."""
        if len(code) > _LONGEST or not _MIME_TYPE.fullmatch(code):
            return None
        essence, semicolon, parameters = code.partition(";")
        written = essence.lower() + semicolon + parameters
        return named(written, written)
