"""The name under which a file is saved. https://www.rfc-editor.org/rfc/rfc6266"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_UNSAFE = re.compile(r"[/\\:*?\"<>|]")
"""What has a meaning in paths on one system or another."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that break a line, turn its direction or show nothing, and make a name look like another."""
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}$")
_LONGEST = 100


def content_disposition(title: str, extension: str = "") -> str:
    """Return the value of Content-Disposition for a file that is saved under a title, which may be any text.

    `extension` is put behind a title that has none. The name stands there twice: for old clients in ASCII, without a
    percent sign, which some of them decode, and in full as RFC 8187 has it.
    """
    seen = "".join(" " if unicodedata.category(each) in _UNSEEN else each for each in title)
    name = " ".join(_UNSAFE.sub("_", seen).split()).strip(". ")[:_LONGEST].strip(". ") or "document"
    if not _EXTENSION.search(name):
        name += extension
    plain = re.sub(r"[^ -~]|%", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
