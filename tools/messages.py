"""Bring the catalogues up to date with the texts in the code, and compile them: `make messages`.

    python -m tools.messages [--add LANGUAGE]

What is new stands untranslated in each messages.po afterwards, what is no longer said is gone. `--add` begins the
catalogue of a further language. The same code and translations always give the same bytes.
"""

from __future__ import annotations

import argparse
import io
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from fhir_server.hospital.records.page import words
from translations.catalogue import FOLDER

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("fhir_server", "mappings", "translations")
KEYWORDS = {"N_": None, "NP_": ((1, "c"), 2)}
LISTS = "fhir_server/hospital/records/page/templates"
"""What elements and codes are called stands there in lists instead of in code."""

_BEGINNING = datetime(2026, 11, 30, tzinfo=UTC)
"""No time of the day stands in the files, so that nothing changes where no text does."""


def main() -> None:
    """Rewrite every catalogue."""
    parser = argparse.ArgumentParser(description="Bring the catalogues up to date and compile them.")
    parser.add_argument("--add", metavar="LANGUAGE", help="begin the catalogue of a further language, such as de")
    added = parser.parse_args().add
    if added:
        path(added).parent.mkdir(parents=True, exist_ok=True)
        path(added).write_bytes(po_of(Catalog(locale=added, fuzzy=False)))
    for catalogue in sorted(FOLDER.glob("*/LC_MESSAGES/messages.po")):
        language = catalogue.parts[-3]
        updated = po_of(read(language), extracted())
        catalogue.write_bytes(updated)
        catalogue.with_suffix(".mo").write_bytes(mo_of(read(language)))


def path(language: str) -> Path:
    """Return where the translations into a language stand."""
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


def read(language: str) -> Catalog:
    """Return the translations into a language."""
    with path(language).open("rb") as file:
        return read_po(file, locale=language)


def extracted() -> Catalog:
    """Return the texts that are marked in the code, with the files that they stand in."""
    catalog = Catalog(fuzzy=False)
    for package in PACKAGES:
        found = extract_from_dir(ROOT / package, [("**.py", "python")], keywords=KEYWORDS)
        for name, _, text, _, context in sorted(found, key=lambda each: each[0]):
            catalog.add(text, locations=[(f"{package}/{name}", 0)], context=context)
    for context, text in words.listed():
        catalog.add(text, locations=[(LISTS, 0)], context=context)
    return catalog


def po_of(catalog: Catalog, template: Catalog | None = None) -> bytes:
    """Return a catalogue as a file, with the texts of the template and no others."""
    if template is not None:
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
    catalog.creation_date = catalog.revision_date = _BEGINNING
    catalog.project, catalog.version, catalog.last_translator = "fhir-server", "", ""
    catalog.language_team, catalog.msgid_bugs_address = "", ""
    catalog.header_comment = f"# Translations of the server's texts: {catalog.locale}"
    written = io.BytesIO()
    write_po(written, catalog, width=110, sort_by_file=True, include_lineno=False)
    return written.getvalue()


def mo_of(catalog: Catalog) -> bytes:
    """Return a catalogue as gettext reads it."""
    written = io.BytesIO()
    write_mo(written, catalog)
    return written.getvalue()


if __name__ == "__main__":
    main()
