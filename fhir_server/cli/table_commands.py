"""The commands `import-hms` and `export-hms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.settings import Settings, settings_with

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]
Prefix = Annotated[str, typer.Option(help="Stands before every id, to tell one hospital's rows from another's.")]
Timezone = Annotated[str | None, typer.Option(help="IANA time zone of clinics that have none.")]


def _settings(data_dir: Path | None, database_url: str | None) -> Settings:
    return settings_with(data_dir=data_dir, database_url=database_url)


def import_hms(
    source: Annotated[str, typer.Argument(help="A folder of CSV or JSON files named by table, or a PostgreSQL URL.")],
    *,
    prefix: Prefix = "",
    timezone: Timezone = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the files, such as cp1252 or utf-16; UTF-8 if left out.")
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option(help="A text that means null in the files, such as NULL; may be repeated.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="The folder of the files that medical_documents.file_url points to.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core if left out.")] = None,
    report: Annotated[Path, typer.Option(help="Where to write what was refused and noted, as JSON lines.")] = Path(
        "import-report.jsonl"
    ),
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Import a hospital's tables; to do so again takes what has changed there. Exits with 1 where a row was refused."""
    from fhir_server.hospital.tables.import_tables import import_tables
    from fhir_server.hospital.tables.importing import Options

    settings = _settings(data_dir, database_url)
    options = Options(prefix, timezone, encoding, tuple(null or ()), files)
    summary = import_tables(source, settings, options, workers=workers, report=report)
    raise typer.Exit(1 if summary.refusals else 0)


def export_hms(
    target: Annotated[str, typer.Argument(help="A folder for CSV files, or a PostgreSQL URL.")],
    *,
    prefix: Prefix = "",
    timezone: Timezone = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Also columns for what the hospital's own schema does not know.")
    ] = False,
    report: Annotated[Path, typer.Option(help="Where to write what was refused, as JSON lines.")] = Path(
        "export-report.jsonl"
    ),
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the hospital's tables, the deleted rows too. Exits with 1 where one could not be written."""
    from fhir_server.hospital.tables.export_tables import export_tables
    from fhir_server.hospital.tables.importing import Options

    settings, options = _settings(data_dir, database_url), Options(prefix, timezone)
    summary = export_tables(target, settings, options, all_columns=all_columns, report=report)
    raise typer.Exit(1 if summary.refusals else 0)
