"""The command `encryption`: a new key, turning encryption on and off, changing keys, and how it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.settings import settings_with

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]

encryption = typer.Typer(no_args_is_help=True, help="Encryption at rest: keys, turning it on and off.")


@encryption.command()
def key(file: Annotated[Path, typer.Argument(help="Where to write it; there must be no such file.")]) -> None:
    """Make a new key, in a file that only its owner can read. Keep a copy where the backups are not."""
    from fhir_server.cli.encryption import make_key

    make_key(file)


@encryption.command()
def status(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Tell whether the database is encrypted, and under which key, as JSON."""
    from fhir_server.cli.encryption import status as read

    typer.echo(json.dumps(read(settings_with(data_dir=data_dir, database_url=database_url)), indent=2))


@encryption.command()
def on(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Encrypt a database that no server uses, under the key configured. What was broken off is gone on with."""
    from fhir_server.cli.encryption import turn

    converted = turn(settings_with(data_dir=data_dir, database_url=database_url), on=True)
    typer.echo(f"{converted} documents encrypted. Back up, and restore into a new place: old files hold old bytes.")


@encryption.command()
def off(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Decrypt a database that no server uses, by the key configured. What was broken off is gone on with."""
    from fhir_server.cli.encryption import turn

    converted = turn(settings_with(data_dir=data_dir, database_url=database_url), on=False)
    typer.echo(f"{converted} documents decrypted.")


@encryption.command()
def rotate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Make a new data key, seal all by it anew, and destroy the old one; beside a running server too."""
    from fhir_server.cli.encryption import rotate as run

    resealed = run(settings_with(data_dir=data_dir, database_url=database_url))
    typer.echo(f"{resealed} documents sealed anew.")


@encryption.command()
def rewrap(
    new_key_file: Annotated[Path | None, typer.Option(help="The file with the new key.")] = None,
    new_key_service: Annotated[Path | None, typer.Option(help="The file that describes the new key service.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Wrap the keys of the database by another key than the one configured, which then is to be configured."""
    from fhir_server.cli.encryption import rewrap as run

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    changed = {
        "encryption_key": None,
        "encryption_key_file": new_key_file,
        "encryption_key_service": new_key_service,
    }
    run(settings, settings.model_copy(update=changed))
    typer.echo("Configure the new key for all servers and commands, and destroy the old one.")
