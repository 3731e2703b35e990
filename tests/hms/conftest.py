"""Settings of a database of the test's own, and importing and exporting with them."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pymongo
import pytest
from rich.console import Console

from fhir_server.engine.context import Services
from fhir_server.hospital.tables.export_tables import export_tables
from fhir_server.hospital.tables.import_tables import import_tables
from fhir_server.hospital.tables.importing import Options
from fhir_server.load.report import Summary
from fhir_server.r4 import values
from fhir_server.services import authorization_store, services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.store.work.imports import ImportStore


@dataclass
class Desk:
    """Imports and exports, and looks at what is stored."""

    settings: Settings
    folder: Path

    @property
    def report(self) -> list[dict[str, Any]]:
        """What the last import or export reported."""
        return [values.decode(line) for line in (self.folder / "report").read_bytes().splitlines()]

    def import_from(self, source: Path | str, **options: Any) -> Summary:
        """Import with one worker process."""
        return import_tables(
            str(source), self.settings, Options(**options), workers=1, report=self.folder / "report", console=quiet()
        )

    def export_to(self, target: Path | str, *, all_columns: bool = False, **options: Any) -> Summary:
        """Export."""
        return export_tables(
            str(target),
            self.settings,
            Options(**options),
            all_columns=all_columns,
            report=self.folder / "report",
            console=quiet(),
        )

    def stored(self, collection: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a collection."""
        with pymongo.MongoClient[dict[str, Any]](self.settings.database_url) as client:
            return {result["_id"]: result for result in client[self.settings.database_name][collection].find()}

    def resource(self, resource_type: str, resource_id: str) -> dict[str, Any]:
        """Return a stored resource."""
        result: dict[str, Any] = values.decode(self.stored(resource_type)[resource_id]["json"])
        return result


def quiet() -> Console:
    return Console(file=StringIO(), width=100)


@pytest.fixture
def desk(mongod_url: str, database_name: str, tmp_path: Path) -> Desk:
    """Return a desk with a database of its own."""
    settings = Settings(database_url=mongod_url, database_name=database_name, data_dir=tmp_path / "data")
    return Desk(settings, tmp_path)


@pytest.fixture
async def shared(database: Database, mongod_url: str) -> Services:
    """Return services on a database of the test's own."""
    made = await services_on(database, Settings(database_url=mongod_url, database_name=database.name))
    await authorization_store(made)
    await ImportStore(database).prepare()
    return made
