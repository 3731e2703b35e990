"""The commands `terminology load|list|remove`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.settings import settings_with

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]

terminologies = typer.Typer(no_args_is_help=True, help="Large code systems: SNOMED CT, LOINC, RxNorm, ICD-10 and CSV.")


@terminologies.command("load")
def load(  # noqa: PLR0917 - each is an option
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="snomed, loinc, rxnorm, icd10cm, claml, csv or fhir.")
    ],
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="The release: a folder, a zip or a file; of snomed also deltas.")
    ],
    url: Annotated[str | None, typer.Option(help="The canonical URL, which a CSV cannot tell.")] = None,
    system_version: Annotated[str | None, typer.Option(help="The version, where the files do not tell it.")] = None,
    title: Annotated[str | None, typer.Option(help="The title of a CSV's code system.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Load a code system beside a running server; it takes the place of the same version in one step."""
    from fhir_server.cli import terminology as work

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    began, last = time.monotonic(), ""

    def show_progress(step: str, number: int) -> None:
        nonlocal last
        if step != last or step == "concepts":
            typer.echo(f"{time.monotonic() - began:7.1f} s  {step}, {number} concepts", err=True)
        last = step

    loaded = work.run(settings, work.load(format_, paths, work.options(url, system_version, title), show_progress))
    seconds = time.monotonic() - began
    typer.echo(
        f"{loaded.url}|{loaded.version} {'replaced' if loaded.replaced else 'loaded'}: {loaded.concepts} concepts, "
        f"{loaded.bytes / 1e6:.0f} MB, in {seconds:.0f} s."
    )


@terminologies.command("list")
def list_loaded(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the code systems that were loaded."""
    from fhir_server.cli import terminology as work

    for url, version, count in work.run(
        settings_with(data_dir=data_dir, database_url=database_url), work.list_loaded()
    ):
        typer.echo(f"{url}|{version}  {count} concepts")


@terminologies.command("remove")
def remove(
    url: Annotated[str, typer.Argument(help="The canonical URL of the code system.")],
    system_version: Annotated[str | None, typer.Option(help="One version; all where it is left out.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a code system that was loaded."""
    from fhir_server.cli import terminology as work

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    for version in work.run(settings, work.remove(url, system_version)):
        typer.echo(f"{url}|{version} has been removed.")
