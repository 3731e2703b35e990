"""Compile the codes of ISO 3166-1 and -2, 4217, 639 and 15924 into the file that `terminology.systems` reads.

    pip install pycountry && python -m tools.compile_iso

They are those of Debian's iso-codes, which the package `pycountry` carries; it is not needed to run the server. The
same release of it always gives the same bytes.
"""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "terminology" / "systems" / "data" / "iso.json.gz"


def compile_codes(pycountry: Any) -> dict[str, dict[str, str]]:
    """Return the names by code: countries by alpha-2, alpha-3 and number, languages by their shortest code."""
    countries: dict[str, str] = {}
    for name in ("alpha_2", "alpha_3", "numeric"):
        countries |= {getattr(each, name): each.name for each in pycountry.countries}
    languages = {getattr(each, "alpha_2", each.alpha_3): each.name for each in pycountry.languages}
    languages |= {each.alpha_3: each.name for each in pycountry.language_families}
    return {
        "countries": dict(sorted(countries.items())),
        "currencies": {each.alpha_3: each.name for each in sorted(pycountry.currencies, key=lambda each: each.alpha_3)},
        "languages": dict(sorted(languages.items())),
        "subdivisions": {each.code: each.name for each in sorted(pycountry.subdivisions, key=lambda each: each.code)},
        "scripts": {each.alpha_4: each.name for each in sorted(pycountry.scripts, key=lambda each: each.alpha_4)},
    }


def main() -> None:
    """Write the file."""
    codes = compile_codes(importlib.import_module("pycountry"))
    text = json.dumps(codes, separators=(",", ":"), ensure_ascii=True)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(gzip.compress(text.encode("ascii"), mtime=0))


if __name__ == "__main__":
    main()
