"""What kind of file some bytes are: told by how they begin, else by the file's name, never by what somebody says."""

from __future__ import annotations

from collections.abc import Callable

TYPES = frozenset(
    {
        "application/pdf",
        "application/dicom",
        "application/json",
        "application/fhir+json",
        "application/xml",
        "text/plain",
        "text/csv",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/tiff",
        "image/heic",
    }
)
"""The media types of files that are kept as what they are; others are bytes of no type."""
UNKNOWN = "application/octet-stream"

_BEGINNINGS = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
_INSIDE: dict[str, Callable[[bytes], bool]] = {
    "image/webp": lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
    "application/dicom": lambda data: data[128:132] == b"DICM",
    "image/heic": lambda data: data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"),
}
_TEXTS = {".txt": "text/plain", ".csv": "text/csv", ".json": "application/json", ".xml": "application/xml"}
_LOOKED_AT = 4096


def file_type(data: bytes, name: str) -> str:
    """Return the media type of a file; texts begin with nothing in particular, so their names count."""
    for beginning, media_type in _BEGINNINGS.items():
        if data.startswith(beginning):
            return media_type
    for media_type, is_one in _INSIDE.items():
        if is_one(data):
            return media_type
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return _TEXTS.get(suffix, UNKNOWN) if b"\x00" not in data[:_LOOKED_AT] else UNKNOWN
