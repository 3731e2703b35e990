"""XML to and from the JSON form."""
from typing import Any
def to_xml(resource: dict[str, Any], *, pretty: bool = False) -> bytes:
    raise NotImplementedError
def from_xml(data: bytes, *, max_depth: int) -> dict[str, Any]:
    raise NotImplementedError
