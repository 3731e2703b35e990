"""A narrative's div, cut out of the XML document around it."""

from __future__ import annotations

from xml.parsers.expat import ExpatError, ParserCreate

from fhir_server.r4.xml.shape import XHTML


def cut_out(data: bytes, start: int, end: int, namespaces: dict[str, str]) -> str:
    """Return the div that stands in `data` from `start` to `end` as text, unchanged where it can stand alone.

    A div that leans on namespace declarations further out (`namespaces`: prefix to URI) is written anew, without
    prefixes.
    """
    text = data[start:end].decode()
    return text if _stands_alone(text) else _Rewriter(namespaces).rewrite(text)


def _stands_alone(text: str) -> bool:
    elements: list[str] = []
    parser = ParserCreate("UTF-8", " ")
    parser.StartElementHandler = lambda name, _: elements.append(name)
    try:
        parser.Parse(text, True)
    except ExpatError:
        return False
    return elements[0] == f"{XHTML} div"


class _Rewriter:
    """Writes an XHTML element without prefixes, comments kept out."""

    def __init__(self, namespaces: dict[str, str]) -> None:
        declarations = (f' xmlns{":" if prefix else ""}{prefix}="{uri}"' for prefix, uri in namespaces.items())
        self._opening = f"<context{''.join(declarations)}>"
        self._parts: list[str] = []
        self._depth = 0

    def rewrite(self, text: str) -> str:
        parser = ParserCreate("UTF-8", " ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = lambda content: self._parts.append(_escape(content))
        parser.Parse(f"{self._opening}{text}</context>", True)
        return "".join(self._parts)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            return
        declaration = f' xmlns="{XHTML}"' if self._depth == 2 else ""
        pairs = (f' {key.rpartition(" ")[2]}="{_escape(value)}"' for key, value in attributes.items())
        self._parts.append(f"<{name.rpartition(' ')[2]}{declaration}{''.join(pairs)}>")

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth:
            self._parts.append(f"</{name.rpartition(' ')[2]}>")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
