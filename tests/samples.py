"""Test data that nobody here wrote: the official examples, fetched by `make test-data`, and five of Synthea's patients.

A test that needs what was not fetched fails when its module is imported, and says what to do.
"""

from __future__ import annotations

import functools
import itertools
import zipfile
from pathlib import Path

from fhir_server.r4.definitions import RESOURCE_TYPES
from tools.fetch_test_data import EXAMPLES_ZIP, FOLDER

SYNTHEA = Path(__file__).parent / "data" / "synthea"
"""A folder of transaction bundles, one patient each, gzipped JSON."""


@functools.cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(fetched(EXAMPLES_ZIP))


@functools.cache
def official_examples() -> tuple[str, ...]:
    """Return the file names of all official R4 examples, sorted."""
    return tuple(name for name in sorted(_archive().namelist()) if resource_type(name) in RESOURCE_TYPES)


def some_official_examples() -> list[str]:
    """Return the first three of each type, where storing or converting all 5,300 would take too long."""
    by_type = itertools.groupby(official_examples(), key=resource_type)
    return [name for _, names in by_type for name in itertools.islice(names, 3)]


def official_example(name: str) -> bytes:
    """Return an example as it was published."""
    return _archive().read(name)


def resource_type(name: str) -> str:
    """Return the resource type that the name of an example's file begins with."""
    return name.partition("-")[0]


def fetched(name: str) -> Path:
    """Return the path of what `make test-data` fetches."""
    path = FOLDER / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make test-data`, which fetches it by npm")
    return path
