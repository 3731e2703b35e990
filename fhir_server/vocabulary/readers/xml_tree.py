"""Reading large XML files element by element, without entities, external parts or the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from lxml import etree

from fhir_server.vocabulary.readers.files import SourceError


def elements(file: IO[bytes], tag: str, name: str) -> Iterator[etree._Element]:
    """Yield each element of a tag, and let go of it afterwards; raises SourceError for what is no XML."""
    try:
        for _, element in etree.iterparse(
            file, events=("end",), tag=tag, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        ):
            yield element
            element.clear(keep_tail=False)
            while element.getprevious() is not None:
                parent = element.getparent()
                if parent is None:
                    break
                del parent[0]
    except etree.XMLSyntaxError as error:
        raise SourceError(f"{name} is not XML: {error.msg}") from error
