"""One thing that a job cannot deal with, or that is too dear, is set aside; the others are dealt with all the same."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.engine import purge
from fhir_server.engine.context import Context, now
from fhir_server.errors import Unavailable
from fhir_server.hospital.billing import job as payments
from fhir_server.hospital.notifications import reminders_job
from fhir_server.jobs import erasures
from fhir_server.store.stores import Stores
from fhir_server.store.work.erasures import ErasureStore
from fhir_server.store.work.purges import PurgeStore
from fhir_server.work.budget import spend
from fhir_server.work.items import set_aside

FAULTS = [KeyError("zebra"), RecursionError("zebra"), ValueError("zebra")]


class Job:
    """A job of three items, of which the second fails in the way that it is told."""

    def __init__(self, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault = fault
        self.dealt_with: list[str] = []
        self.patch = monkeypatch

    async def deal_with(self, item: Any) -> bool:
        text = item["id"] if isinstance(item, dict) else str(item)
        if text == "2":
            raise self.fault
        self.dealt_with.append(text)
        return True

    async def texts(self, *_: Any) -> list[str]:
        return ["1", "2", "3"]

    async def none(self, *_: Any) -> list[str]:
        return []

    async def resources(self, *_: Any) -> Any:
        for text in "123":
            yield {"id": text, "meta": {"lastUpdated": "2020-01-01T00:00:00Z"}}


@pytest.fixture(params=FAULTS, ids=lambda fault: type(fault).__name__)
def job(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Job:
    return Job(request.param, monkeypatch)


nothing: Any = None


class NoDatabase:
    primary = None


class NoServices:
    database: Any = NoDatabase()

    @property
    def stores(self) -> Stores:
        return Stores(self.database)


no_services: Any = NoServices()


async def test_an_erasure_that_fails_does_not_stop_the_others(job: Job) -> None:
    """It stays unfinished, and is taken up again with the next turn; purges are finished, too."""
    job.patch.setattr(ErasureStore, "__init__", lambda *_: None)
    job.patch.setattr(ErasureStore, "unfinished", job.texts)
    job.patch.setattr(ErasureStore, "finished_since", job.none)
    job.patch.setattr(erasures, "erase_patient", lambda _services, _base, patient: job.deal_with(patient))
    purges: list[Any] = []

    async def finish(context: Context) -> int:
        purges.append(context)
        return 0

    job.patch.setattr(erasures, "finish_purges", finish)
    await erasures.erasures(no_services, "http://server.test/fhir").run(nothing)
    assert job.dealt_with == ["1", "3"]
    assert purges


async def test_a_purge_that_fails_does_not_stop_the_others(job: Job) -> None:
    job.patch.setattr(PurgeStore, "__init__", lambda *_: None)
    job.patch.setattr(PurgeStore, "unfinished", job.texts)
    job.patch.setattr(purge, "target_of", lambda text: text)
    job.patch.setattr(purge, "purge", lambda _context, target: job.deal_with(target))
    assert await purge.finish_purges(Context(no_services, "http://server.test/fhir")) == 2
    assert job.dealt_with == ["1", "3"]


async def test_a_visit_that_cannot_be_understood_does_not_stop_reminders(job: Job) -> None:
    class Teller:
        def __init__(self, *_: Any) -> None:
            pass

        async def tell(self, event: Any, _at: Any) -> bool:
            return await job.deal_with(event)

    job.patch.setattr(reminders_job, "Teller", Teller)
    job.patch.setattr(reminders_job, "every_match", job.resources)
    job.patch.setattr(reminders_job, "reminder", lambda appointment: appointment)
    assert await reminders_job.remind(no_services, "http://server.test/fhir", now()) == 2
    assert job.dealt_with == ["1", "3"]


async def test_a_payment_that_cannot_be_understood_does_not_stop_the_others(job: Job) -> None:
    work = payments.CardPayments(Context(no_services, "http://server.test/fhir"), nothing)
    job.patch.setattr(payments, "every_match", job.resources)
    job.patch.setattr(payments.attempts, "key_of", lambda attempt: attempt["id"])
    job.patch.setattr(payments.CardPayments, "_close", lambda _self, attempt, _key: job.deal_with(attempt))
    job.patch.setattr(payments, "give_back", lambda _fhir, _gateway, invoice: job.deal_with(invoice))
    job.patch.setattr(payments, "in_process", lambda *_: nothing)
    assert await work.close_abandoned(now()) == 2
    assert await work.refund_due(now()) == 2
    assert job.dealt_with == ["1", "3", "1", "3"]


def test_an_item_has_a_budget() -> None:
    """One that is too dear is set aside; a database that is away is no fault of any."""
    ended = []
    with set_aside("test.failed", seconds=0.001):
        spend(1_000_000)
        ended.append("dear")
    with set_aside("test.failed"):
        spend(1_000_000)
        ended.append("cheap")
    assert ended == ["cheap"]
    with pytest.raises(Unavailable), set_aside("test.failed"):
        raise Unavailable("away")
