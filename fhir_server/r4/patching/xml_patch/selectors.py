"""The selectors of an XML Patch: a small part of XPath, read here and written anew, so that nothing else is evaluated.

Steps go from an element to its children, by name or `*`, each with any number of predicates: a position, or that an
element's or attribute's text is a literal. The last step may be an attribute, a text, a comment or a processing
instruction. Beyond the RFC a predicate may have a path (`[f:family/@value='Li']`), since FHIR keeps values in
attributes. https://www.rfc-editor.org/rfc/rfc5261#section-4.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from lxml import etree

from fhir_server.errors import BadRequest
from fhir_server.r4.xml.shape import FHIR

_XML = "http://www.w3.org/XML/1998/namespace"
_LONGEST = 2_000
_NAME = r"[^\W\d][\w.\-]*"
_TOKEN = re.compile(
    rf"""\s*(?:(?P<literal>"[^"]*"|'[^']*')
    |(?P<node>(?:text|comment)\(\s*\)|processing-instruction\(\s*(?:(?:"[^"]*"|'[^']*')\s*)?\))
    |(?P<name>(?:{_NAME}:)?(?:{_NAME}))(?!\s*(?:\(|::))
    |(?P<number>[1-9][0-9]{{0,8}})
    |(?P<sign>[/@*.=\[\]]))\s*""",
    re.VERBOSE,
)

Kind = Literal["element", "attribute", "text()", "comment()", "processing-instruction()"]


@dataclass(frozen=True, slots=True)
class Selector:
    """A path from the document to one node."""

    text: str
    """As the caller wrote it."""
    kind: Kind
    find: etree.XPath
    """What finds the nodes in a document."""
    last: str
    """The local name that the path ends in; empty where that is no name."""
    owner: str
    """The local name of the element whose attribute is selected; empty otherwise."""


def read_selector(text: str, namespaces: Mapping[str, str]) -> Selector:
    """Return the selector that a text is, with the namespaces declared where it stands by prefix.

    A name without a prefix is of the default namespace there, and where there is none of FHIR's. Raises BadRequest.
    """
    if len(text) > _LONGEST:
        raise BadRequest(f"A selector has at most {_LONGEST} characters.", code="too-costly")
    return _Reader(text, namespaces).read()


class _Reader:
    """Reads one selector, token by token, and writes its XPath with prefixes of its own."""

    def __init__(self, text: str, namespaces: Mapping[str, str]) -> None:
        self._text = text
        self._namespaces = namespaces
        self._prefixes: dict[str, str] = {}
        self._tokens = self._split()
        self._at = 0
        self._names: list[str] = []

    def read(self) -> Selector:
        if self._peek() == "/":
            self._next()
        path, kind = self._path(predicates=True)
        if self._peek():
            raise self._malformed()
        prefixes = tuple(sorted((prefix, uri) for uri, prefix in self._prefixes.items()))
        last = self._names[-1]
        owner = self._names[-2] if kind == "attribute" and len(self._names) > 1 else ""
        try:
            find = _compiled(f"/{path}", prefixes)
        except etree.XPathSyntaxError as error:
            raise self._malformed() from error
        return Selector(self._text, kind, find, last, owner)

    def _split(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise self._malformed()
            tokens.append((match.lastgroup or "", match[match.lastgroup or ""]))
            at = match.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, sign: str) -> None:
        if self._kind() != "sign" or self._next() != sign:
            raise self._malformed()

    def _path(self, *, predicates: bool) -> tuple[str, Kind]:
        """Read steps up to the end of the path; one that is no element's is the last."""
        parts: list[str] = []
        while True:
            step, kind = self._step(predicates=predicates)
            parts.append(step)
            if kind != "element" or self._peek() != "/":
                return "/".join(parts), kind
            self._next()

    def _step(self, *, predicates: bool) -> tuple[str, Kind]:
        kind: Kind = "element"
        if self._kind() == "sign" and self._peek() == "@":
            self._next()
            name = self._name(attribute=True)
            return f"@{name}", "attribute"
        if self._kind() == "node":
            test = self._next()
            kind = f"{test.partition('(')[0]}()"  # type: ignore[assignment]
            self._names.append("")
        elif self._kind() == "sign" and self._peek() == "*":
            test = self._next()
            self._names.append("")
        else:
            test = self._name()
        while predicates and self._kind() == "sign" and self._peek() == "[":
            test += self._predicate()
        return test, kind

    def _name(self, *, attribute: bool = False) -> str:
        if self._kind() != "name":
            raise self._malformed()
        prefix, colon, local = self._next().rpartition(":")
        self._names.append(local)
        if attribute and not colon:
            return local
        uri = self._namespaces.get(prefix) if colon else self._namespaces.get("") or FHIR
        if prefix == "xml":
            uri = _XML
        if uri is None:
            raise BadRequest(f"The prefix {prefix[:40]!r} of the selector {self._text[:200]!r} is not declared.")
        own = self._prefixes.setdefault(uri, f"n{len(self._prefixes)}")
        return f"{own}:{local}"

    def _predicate(self) -> str:
        self._expect("[")
        names = len(self._names)
        if self._kind() == "number":
            inner = self._next()
        else:
            if self._kind() == "sign" and self._peek() == ".":
                left = self._next()
            else:
                left, _ = self._path(predicates=False)
            self._expect("=")
            if self._kind() != "literal":
                raise self._malformed()
            inner = f"{left}={self._next()}"
        self._expect("]")
        del self._names[names:]
        return f"[{inner}]"

    def _malformed(self) -> BadRequest:
        return BadRequest(
            f"{self._text[:200]!r} is not a selector: steps such as f:name[2]/f:given[@value='A']/@value, with a "
            "position or a comparison with a literal as predicates.",
            code="structure",
        )


@lru_cache(maxsize=1024)
def _compiled(path: str, prefixes: tuple[tuple[str, str], ...]) -> etree.XPath:
    return etree.XPath(path, namespaces=dict(prefixes) or None, regexp=False)
