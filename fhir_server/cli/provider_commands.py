"""The command `provider`: outside identity providers that users sign in with; each prints JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.account_commands import DatabaseUrl, DataDir, print_described, run_work

providers = typer.Typer(no_args_is_help=True, help="Outside identity providers that users sign in with.")


@providers.command("add")
def add_provider(  # noqa: PLR0917 - each is an option
    provider_id: Annotated[str, typer.Option("--id", help="Its name in URLs of this server, such as keycloak.")],
    name: Annotated[str, typer.Option(help="What its button says.")],
    issuer: Annotated[str, typer.Option(help="Its issuer, as its discovery document has it.")],
    client_id: Annotated[str, typer.Option(help="This server's client_id there.")],
    secret_file: Annotated[
        Path | None, typer.Option(help="File with the client's secret; without one it is asked for.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="The client has no secret there.")] = False,
    post: Annotated[bool, typer.Option("--post", help="It takes the secret in the body (client_secret_post).")] = False,
    scope: Annotated[str, typer.Option(help="The scopes to ask it for.")] = "openid profile",
    mapping: Annotated[Path | None, typer.Option(help="JSON file of what its claims mean here.")] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="JSON file of what its access tokens mean here; none are taken without it.")
    ] = None,
    userinfo: Annotated[bool, typer.Option("--userinfo", help="Also ask for claims at userinfo.")] = False,
    internal: Annotated[bool, typer.Option("--internal", help="It is in your own network.")] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Add it though it does not answer.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a provider; prints what must be registered there."""
    from fhir_server.cli import providers as work

    document = {
        "id": provider_id,
        "name": name,
        "issuer": issuer,
        "client_id": client_id,
        "client_secret": None if public else _secret(secret_file),
        "authentication": "none" if public else "client_secret_post" if post else "client_secret_basic",
        "scope": scope,
        "userinfo": userinfo,
        "internal": internal,
    }
    added = work.add_provider(document, mapping=mapping, tokens=tokens, unchecked=unchecked)
    print_described(run_work(added, data_dir, database_url))


def _secret(path: Path | None) -> str:
    if path is None:
        return str(typer.prompt("Client secret", hide_input=True))
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} cannot be read.") from error


@providers.command("list")
def list_providers(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List all providers, without their secrets."""
    from fhir_server.cli import providers as work

    print_described(run_work(work.list_providers, data_dir, database_url))


@providers.command("remove")
def remove_provider(
    provider_id: Annotated[str, typer.Argument(help="Its id.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a provider, and end all sessions, grants and tokens that rest on it, at once."""
    from fhir_server.cli import providers as work

    run_work(work.remove_provider(provider_id), data_dir, database_url)
    print_described({"removed": provider_id})
