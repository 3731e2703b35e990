"""The formats that can be loaded, by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.vocabulary.building import Builder
from fhir_server.vocabulary.readers import claml, csv_table, fhir, icd10cm, loinc, rxnorm, snomed
from fhir_server.vocabulary.readers.files import Release
from fhir_server.vocabulary.records import SystemRecord


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator says beside the files: needed for a CSV, and where the files do not tell their version."""

    url: str | None = None
    version: str | None = None
    title: str | None = None


Reader = Callable[[Sequence[Release], Builder, Options], SystemRecord]

FORMATS: Mapping[str, Reader] = {
    "snomed": lambda releases, builder, options: snomed.read(releases, builder, options.version),
    "loinc": lambda releases, builder, options: loinc.read(releases[0], builder, options.version),
    "rxnorm": lambda releases, builder, options: rxnorm.read(releases[0], builder, options.version),
    "icd10cm": lambda releases, builder, options: icd10cm.read(releases[0], builder, options.version),
    "claml": lambda releases, builder, options: claml.read(releases[0], builder, options.url, options.version),
    "csv": lambda releases, builder, options: csv_table.read(
        releases[0], builder, options.url, options.version, options.title
    ),
    "fhir": lambda releases, builder, options: fhir.read(releases[0], builder, options.version),
}
