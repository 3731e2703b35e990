"""How long one command of a request may read in the database; jobs and commands of the operator have no limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import ExecutionTimeout

from fhir_server.store.database.encoding import Document
from fhir_server.work.budget import OutOfBudget, current


@contextmanager
def limited() -> Iterator[Document]:
    """Yield what limits a command that runs within, to be merged into it; raises OutOfBudget where it takes longer."""
    budget = current()
    seconds = None if budget is None else budget.database_seconds
    if seconds is None:
        yield {}
        return
    try:
        yield {"maxTimeMS": max(1, int(seconds * 1000))}
    except ExecutionTimeout as error:
        raise OutOfBudget(
            f"The database would need more than the {seconds:g} seconds that a search may take in it "
            "(max_database_seconds): ask for less at once, or by narrower criteria."
        ) from error


def in_cursor(limit: Document) -> Document:
    """Return the limit as the driver's own find takes it."""
    return {"max_time_ms": limit["maxTimeMS"]} if limit else {}
