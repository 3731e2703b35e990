"""The names of countries, currencies, languages and scripts, decoded at their first use.

`data/iso.json.gz` is made by `tools/compile_iso.py`.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files


@cache
def names(kind: str) -> dict[str, str]:
    """Return names by code: `countries`, `subdivisions`, `currencies`, `languages` or `scripts`."""
    by_code: dict[str, str] = _tables()[kind]
    return by_code


@cache
def _tables() -> dict[str, dict[str, str]]:
    packed = files("terminology.systems").joinpath("data", "iso.json.gz").read_bytes()
    tables: dict[str, dict[str, str]] = json.loads(gzip.decompress(packed))
    return tables
