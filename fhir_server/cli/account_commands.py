"""The commands `user`, `client` and `key`; each prints JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fhir_server.settings import settings_with

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]
Password = Annotated[
    str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for if left out.")
]

users = typer.Typer(no_args_is_help=True, help="Users: patients, practitioners, admins.")
clients = typer.Typer(no_args_is_help=True, help="Apps and services that ask for tokens.")
keys = typer.Typer(no_args_is_help=True, help="The keys that sign id_tokens.")


def run_work(work: Any, data_dir: Path | None, url: str | None) -> Any:
    """Return what the work does with the database that the options name."""
    from fhir_server.cli import accounts

    return accounts.run(settings_with(data_dir=data_dir, database_url=url), work)


def print_described(described: Any) -> None:
    """Print what was done, as JSON."""
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False))


@users.command("add")
def add_user(  # noqa: PLR0917 - each is an option
    username: Annotated[str, typer.Option(help="The name to sign in with.")],
    role: Annotated[str, typer.Option(help="patient, practitioner or admin.")],
    password: Password,
    fhir_user: Annotated[
        str | None, typer.Option(help="The resource that the user is, such as Practitioner/1.")
    ] = None,
    create_patient: Annotated[
        bool, typer.Option("--create-patient", help="Make the Patient that the user is.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a user."""
    from fhir_server.cli import accounts

    if create_patient and fhir_user is not None:
        raise typer.BadParameter("--create-patient and --fhir-user exclude each other.")
    work = accounts.add_user(username, password, cast(Any, role), fhir_user, create_patient=create_patient)
    print_described(run_work(work, data_dir, database_url))


@users.command("list")
def list_users(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all users."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.list_users, data_dir, database_url))


@users.command("disable")
def disable_user(
    username: Annotated[str, typer.Option(help="The name that the user signs in with.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Keep a user out, and end all that the user granted, at once."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.disable_user(username), data_dir, database_url))


@users.command("password")
def change_password(
    username: Annotated[str, typer.Option(help="The name that the user signs in with.")],
    password: Password,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Change a user's password."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.change_password(username, password), data_dir, database_url))


@users.command("second-factor")
def set_second_factor(
    username: Annotated[str, typer.Option(help="The name that the user signs in with.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take it away instead.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a user an authenticator's secret and recovery codes, shown now and never again."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.set_second_factor(username, remove=remove), data_dir, database_url))


@clients.command("add")
def add_client(  # noqa: PLR0917 - each is an option
    name: Annotated[str, typer.Option(help="What users are shown.")],
    scope: Annotated[str | None, typer.Option(help="The scopes that the client may be given at most.")] = None,
    secret: Annotated[bool, typer.Option("--secret", help="The client keeps a secret.")] = False,
    public: Annotated[bool, typer.Option("--public", help="The client can keep no secret.")] = False,
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where users are led back to; may be repeated.")
    ] = None,
    jwks: Annotated[Path | None, typer.Option(help="File with the client's public keys.")] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="URL of the client's public keys.")] = None,
    launch_url: Annotated[str | None, typer.Option(help="Where an EHR launches the app.")] = None,
    post_logout_redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where users may be led after they signed out; may be repeated.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Register a client; its secret is shown now and never again."""
    from fhir_server.cli import accounts

    if sum([secret, public, jwks is not None or jwks_uri is not None]) != 1:
        raise typer.BadParameter("A client has one of --secret, --public, and --jwks or --jwks-uri.")
    work = accounts.add_client(
        name,
        scope,
        secret=secret,
        redirect_uris=redirect_uri or [],
        jwks=jwks,
        jwks_uri=jwks_uri,
        launch_url=launch_url,
        post_logout_redirect_uris=post_logout_redirect_uri or [],
    )
    print_described(run_work(work, data_dir, database_url))


@clients.command("list")
def list_clients(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all clients."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.list_clients, data_dir, database_url))


@clients.command("remove")
def remove_client(
    client_id: Annotated[str, typer.Argument(help="The client_id.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a client, and end all that it holds, at once."""
    from fhir_server.cli import accounts

    run_work(accounts.remove_client(client_id), data_dir, database_url)
    print_described({"removed": client_id})


@keys.command("rotate")
def rotate_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Sign with a new key from now on."""
    from fhir_server.cli import accounts

    print_described(run_work(accounts.rotate_keys, data_dir, database_url))
