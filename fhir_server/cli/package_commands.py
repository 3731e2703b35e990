"""The commands `package install|list|show|uninstall|search-parameters|lock`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fhir_server.settings import settings_with
from fhir_server.store.database.data_directory import StartupError

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]
PackageName = Annotated[
    str, typer.Argument(help="Such as hl7.fhir.uv.ips@2.0.0; the version may be left out if one is there.")
]

packages = typer.Typer(no_args_is_help=True, help="FHIR packages: implementation guides and terminologies.")


@packages.command("install")
def install(  # noqa: PLR0917 - each is an option
    package: Annotated[
        str | None,
        typer.Argument(help="NAME@VERSION from the registry (also 2.0.x, latest), a .tgz file, or a folder."),
    ] = None,
    lock: Annotated[Path | None, typer.Option("--lock", help="Install what a lock file lists, just as it was.")] = None,
    registry: Annotated[str | None, typer.Option(help="Registry to fetch from, instead of the setting.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing: dependencies are here, or missing.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Install also where definitions lack what they are made on top of.")
    ] = False,
    search_parameters: Annotated[
        bool, typer.Option("--search-parameters", help="Use the search parameters of the package.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Install a package with what it depends on, beside a running server too."""
    from fhir_server.cli import packages as work

    settings = settings_with(data_dir=data_dir, database_url=database_url, package_registry=registry)
    if (package is None) == (lock is None):
        raise StartupError("Name a package to install, or a lock file by --lock.")
    installation = work.Installation(
        package, lock, offline=offline, allow_missing=allow_missing, search_parameters=search_parameters
    )
    report = work.run(settings, work.install(installation, lambda text: typer.echo(text, err=True)))
    for note in report.notes:
        typer.secho(f"Note: {note}", fg="yellow", err=True)
    for each in report.installed:
        counts = ", ".join(f"{number} {name}" for name, number in each.counts.items()) or "no definitions"
        typer.echo(f"{each.id} installed: {counts}.")
        for text in each.left_out:
            typer.secho(f"  left out: {text}", fg="yellow", err=True)
        if "SearchParameter" in each.counts and not each.search_parameters:
            typer.echo(
                f"  Its search parameters are not used until: fhir-server package search-parameters {each.id} --on"
            )


@packages.command("list")
def list_packages(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the installed packages."""
    from fhir_server.cli import packages as work

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    for each in work.run(settings, work.installed()):
        how = "" if each.requested else " (for others)"
        typer.echo(f"{each.id}  {sum(each.counts.values())} definitions, installed {each.installed}{how}")


@packages.command("show")
def show(package: PackageName, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show what a package is, has brought, and depends on, as JSON."""
    from fhir_server.cli import packages as work

    _print(work.run(settings_with(data_dir=data_dir, database_url=database_url), work.described(package)))


@packages.command("uninstall")
def uninstall(
    package: PackageName,
    force: Annotated[bool, typer.Option("--force", help="Also where other packages depend on it.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove a package; says which others depend on it."""
    from fhir_server.cli import packages as work

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    removed = work.run(settings, work.uninstall(package, force=force))
    typer.echo(f"{removed.id} has been removed.")


@packages.command("search-parameters")
def search_parameters(
    package: PackageName,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether searches can use them.")] = True,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Switch the search parameters of a package on or off; what is stored is indexed by them in the background."""
    from fhir_server.cli import packages as work

    settings = settings_with(data_dir=data_dir, database_url=database_url)
    outcome = work.run(settings, work.use_search_parameters(package, used=on))
    typer.echo(f"{outcome.package.id}: {len(outcome.usable)} search parameters {'on' if on else 'off'}.")
    for code, reason in outcome.refused.items():
        typer.secho(f"  not used: {code}: {reason}", fg="yellow", err=True)


@packages.command("lock")
def lock(
    output: Annotated[Path | None, typer.Option(help="File to write; standard output if left out.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write which packages are installed, with their hashes: `install --lock` installs just these elsewhere."""
    from fhir_server.cli import packages as work

    locked = work.run(settings_with(data_dir=data_dir, database_url=database_url), work.locked())
    if output is None:
        _print(locked)
        return
    try:
        output.write_text(json.dumps(locked, indent=2) + "\n")
    except OSError as error:
        raise StartupError(f"{output} cannot be written: {error.strerror}.") from error


def _print(described: Any) -> None:
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False))
