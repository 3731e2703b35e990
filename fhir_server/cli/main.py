"""The command line: serving, loading, importing and exporting, accounts, and looking after the database."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.account_commands import clients, keys, users
from fhir_server.cli.encryption_commands import encryption
from fhir_server.cli.package_commands import packages
from fhir_server.cli.provider_commands import providers
from fhir_server.cli.subscription_commands import subscriptions
from fhir_server.cli.table_commands import export_hms, import_hms
from fhir_server.cli.terminology_commands import terminologies
from fhir_server.http import log
from fhir_server.settings import Settings, SettingsError, settings_with
from fhir_server.store.database.data_directory import StartupError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A FHIR R4 server on MongoDB."
)
app.add_typer(users, name="user")
app.add_typer(clients, name="client")
app.add_typer(keys, name="key")
app.add_typer(encryption, name="encryption")
app.add_typer(providers, name="provider")
app.add_typer(packages, name="package")
app.add_typer(terminologies, name="terminology")
app.add_typer(subscriptions, name="subscription")
app.command("import-hms")(import_hms)
app.command("export-hms")(export_hms)

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]


@app.command()
def serve(  # noqa: PLR0917 - each is an option
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve requests.")] = None,
    base_url: Annotated[str | None, typer.Option(help="The public URL of the FHIR base, for all links.")] = None,
    services: Annotated[str | None, typer.Option(help="Which of fhir,hms,ehr,auth to serve; all if left out.")] = None,
    fhir_base_url: Annotated[
        str | None, typer.Option(help="Serve the health record's endpoints (ehr) from another FHIR R4 server.")
    ] = None,
    open_: Annotated[bool | None, typer.Option("--open", help="No authorization at all; loopback only.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Load the demo clinic before serving.")] = False,
) -> None:
    """Serve FHIR, the hospital's endpoints and authorization over HTTP, or some of these."""
    from fhir_server.cli.serve import run

    settings = settings_with(
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        workers=workers,
        base_url=base_url,
        services=services,
        fhir_base_url=fhir_base_url,
        open=open_,
    )
    run(settings, demo=demo)


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Bundles or NDJSON, plain or gzipped; or folders.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    base_url: Annotated[str | None, typer.Option(help="Load over HTTP into the FHIR server at this URL.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that load; one for each core if left out.")
    ] = None,
    refused: Annotated[Path, typer.Option(help="Where to write what was refused, as JSON lines.")] = Path(
        "refused.jsonl"
    ),
    state: Annotated[Path, typer.Option(help="Remembers what --base-url has been given.")] = Path("loaded.tsv"),
) -> None:
    """Load bundles and NDJSON; what was loaded before is skipped. Exits with 1 where something was refused."""
    from fhir_server.load.load import load as load_files

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    summary = load_files(paths, settings, base_url=base_url, workers=workers, refused=refused, state=state)
    raise typer.Exit(1 if summary.refusals else 0)


@app.command()
def reindex(
    types: Annotated[list[str] | None, typer.Argument(help="Resource types; all of them if left out.")] = None,
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on with one that was broken off.")] = False,
) -> None:
    """Make the search index anew, beside a running server too. Exits with 1 unless every resource was indexed."""
    from fhir_server.cli.reindex import complete, run

    result = run(settings_with(data_dir=data_dir, database_url=database_url), types or [], restart=restart)
    typer.echo(f"{result.done} of {result.total} resources indexed, {result.failed} could not be.")
    raise typer.Exit(0 if complete(result) else 1)


@app.command()
def validate(
    types: Annotated[list[str] | None, typer.Argument(help="Resource types.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Of all types.")] = False,
    report: Annotated[Path, typer.Option(help="Where to write what is wrong, as JSON lines.")] = Path(
        "validation.jsonl"
    ),
    warnings: Annotated[bool, typer.Option("--warnings", help="Tell also what is only doubtful.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    restart: Annotated[bool, typer.Option("--restart", help="Do not go on with one that was broken off.")] = False,
) -> None:
    """Validate what is stored by R4 and its profiles, beside a running server too. Exits with 1 for any error."""
    from fhir_server.cli.validate import run

    if bool(types) == all_:
        raise StartupError("Name the types to validate, or say --all.")
    settings = settings_with(data_dir=data_dir, database_url=database_url)
    result = run(settings, types or [], report, warnings=warnings, restart=restart)
    typer.echo(f"{result.done} of {result.total} resources validated, {result.faulty} with errors: {report}")
    raise typer.Exit(1 if result.faulty or result.types else 0)


@app.command()
def purge(
    target: Annotated[str, typer.Argument(help="Such as Observation/1/_history/2, Observation/1 or Patient/1.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a version, a resource, or a patient with all that is the patient's, for good; the audit trail says so."""
    from fhir_server.cli.purge import run

    if not yes:
        typer.confirm(f"{target} cannot be brought back. Purge it?", abort=True)
    run(settings_with(data_dir=data_dir, database_url=database_url), target)
    typer.echo(f"{target} has been purged.")


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="Folder to put the backup into; or the word verify.")],
    source: Annotated[Path | None, typer.Argument(help="After verify: the backup to read through.")] = None,
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Back up all of the database as of one moment, beside a running server too; `backup verify SOURCE` checks one."""
    from fhir_server.cli import backup as backups

    if str(target) != "verify":
        if source is not None:
            raise StartupError("A backup has one target; write `backup verify SOURCE` to check one.")
        settings = settings_with(data_dir=data_dir, database_url=database_url)
        typer.echo(str(backups.back_up(settings, target)))
        return
    if source is None:
        raise StartupError("Name the backup to verify. A folder called verify is written ./verify.")
    manifest = backups.verify(source)
    typer.echo(f"{source} is whole: {manifest.documents} documents, {manifest.size} bytes, as of {manifest.moment}.")


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="The backup: the folder that `backup` has printed.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Put a backup into an empty data directory or database, having verified it."""
    from fhir_server.cli import backup as backups

    manifest = backups.restore(settings_with(data_dir=data_dir, database_url=database_url), source)
    typer.echo(f"{manifest.documents} documents restored, as of {manifest.moment}.")


@app.command()
def status(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Look through all tables for odd rows, not the catalogue.")
    ] = False,
) -> None:
    """Show how background jobs and added search parameters stand, and which rows hold what their tables cannot say."""
    from fhir_server.cli.status import show

    show(settings_with(data_dir=data_dir, database_url=database_url), every_row=rows)


@app.command()
def capability(
    output: Annotated[Path | None, typer.Option(help="File to write; standard output if left out.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Base URL that the statement names.")] = None,
) -> None:
    """Write the server's CapabilityStatement."""
    from fhir_server.engine.interactions.capabilities import capability_statement
    from fhir_server.r4 import values

    text = values.pretty(values.encode(capability_statement(base_url))) + b"\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        try:
            output.write_bytes(text)
        except OSError as error:
            raise StartupError(f"{output} cannot be written: {error.strerror}.") from error


@app.command()
def version() -> None:
    """Print the server's version."""
    typer.echo(package_version("fhir-server"))


def _tell(error: Exception) -> None:
    """Say what the operator can mend, in the form that the settings ask for if they can be read."""
    try:
        settings = Settings()
        wants_json = settings.log_format == "json"
    except ValueError:
        settings, wants_json = None, os.environ.get("FHIR_SERVER_LOG_FORMAT", "") == "json"
    if not wants_json:
        typer.secho(f"fhir-server: {error}", fg="red", err=True)
        return
    log.configure(settings or Settings.model_construct(log_format="json"))
    log.refused(str(error))


def main() -> None:
    """Run the command line; what the operator can mend is said in one line, without a traceback."""
    try:
        app()
    except (StartupError, SettingsError) as error:
        _tell(error)
        sys.exit(1)
