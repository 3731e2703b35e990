"""A hook of MkDocs: puts sections of README.md into pages, their links relative to the page that shows them.

A page names a section by a line `--8<-- "README.md:NAME"`; in README.md it stands between the comments
`<!-- --8<-- [start:NAME] -->` and `<!-- --8<-- [end:NAME] -->`. Links there begin at the root of the repository.
https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.structure.pages import Page

README = Path(__file__).parents[1] / "README.md"
_PLACE = re.compile(r'^--8<-- "README\.md:([\w-]+)"$', re.MULTILINE)
_LINK = re.compile(r"\]\(docs/([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Return the page's text with the sections that it names; raises ValueError for one that README.md lacks."""
    folder = posixpath.dirname(page.file.src_uri)
    return _PLACE.sub(lambda place: with_links_from(folder, section(place[1])), markdown)


def section(name: str) -> str:
    """Return a section of README.md; raises ValueError where there is none of that name."""
    _, start, rest = README.read_text(encoding="utf-8").partition(f"<!-- --8<-- [start:{name}] -->\n")
    text, end, _ = rest.partition(f"<!-- --8<-- [end:{name}] -->")
    if not start or not end:
        raise ValueError(f"README.md has no section {name}.")
    return text


def with_links_from(folder: str, text: str) -> str:
    """Return the text with its links into docs/ as they are from a folder in there."""
    return _LINK.sub(lambda link: f"]({posixpath.relpath(link[1], folder or '.')})", text)
