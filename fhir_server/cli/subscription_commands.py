"""The command `subscription`: how subscriptions stand, and what was delivered; each prints JSON."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fhir_server.settings import Settings, settings_with

DataDir = Annotated[Path | None, typer.Option(help="Directory of the embedded database.")]
DatabaseUrl = Annotated[str | None, typer.Option(help="A MongoDB replica set of yours, instead of the embedded one.")]

subscriptions = typer.Typer(no_args_is_help=True, help="Subscriptions: how they stand, and what was delivered.")


@subscriptions.command("list")
def list_subscriptions(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the subscriptions that were ever carried out: status, events, and since when deliveries fail."""
    _print(settings_with(data_dir=data_dir, database_url=database_url), None)


@subscriptions.command("log")
def log(
    subscription: Annotated[str, typer.Argument(help="The id of the Subscription.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show the last 50 deliveries of one: when, which event, how the receiver answered, and how long that took."""
    _print(settings_with(data_dir=data_dir, database_url=database_url), subscription)


def _print(settings: Settings, subscription: str | None) -> None:
    from fhir_server.store.database.mongod import database_url

    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        described = asyncio.run(_read(connected, subscription))
    if described is None:
        raise typer.BadParameter(f"There is no subscription {subscription!r} that was ever carried out.")
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False, default=str))


async def _read(settings: Settings, subscription: str | None) -> Any:
    from fhir_server.services import services

    async with services(settings) as shared:
        store = shared.stores.subscriptions
        if subscription is None:
            return [_described(state) for state in await store.every()]
        state = await store.find(subscription)
        return None if state is None else {**_described(state), "log": list(state.log)}


def _described(state: Any) -> dict[str, Any]:
    return {
        "id": state.id,
        "status": state.status,
        "last_event": state.last,
        "delivered": state.delivered,
        "pending": state.last - state.delivered,
        "attempts": state.attempts,
        "failing_since": state.failing,
        "due": state.due,
    }
