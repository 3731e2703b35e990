"""A job runs in one worker at a time, in another when that one dies, and again when it is due."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.errors import Unavailable
from fhir_server.jobs.runner import Job, Runner, hold
from fhir_server.store.database.mongo import Database
from fhir_server.store.work.jobs import JobStore, Lease, LeaseLost


@pytest.fixture
def store(database: Database) -> JobStore:
    """Leases that last only for a moment."""
    return JobStore(database, seconds=0.5)


async def acquired(store: JobStore, worker: str = "one") -> Lease:
    lease = await store.acquire("job", worker)
    assert lease is not None
    return lease


async def test_one_worker_has_a_job(store: JobStore) -> None:
    """Of many that ask at once one gets the lease, and the others get it only after its release."""
    leases = await asyncio.gather(*(store.acquire("job", str(number)) for number in range(10)))
    held = [lease for lease in leases if lease is not None]
    assert len(held) == 1
    assert not await store.is_due("job")
    await held[0].release()
    assert await store.is_due("job")
    await acquired(store)


async def test_a_killed_worker_loses_its_lease_and_the_next_has_its_state(store: JobStore) -> None:
    """Unrenewed, the lease ends: who had it can neither renew nor save, and the next goes on from what it saved."""
    dead = await acquired(store)
    await dead.save({"after": "42"})
    await asyncio.sleep(0.6)
    heir = await acquired(store, "two")
    assert heir.state == {"after": "42"}
    with pytest.raises(LeaseLost):
        await dead.renew()
    with pytest.raises(LeaseLost):
        await dead.save({"after": "1"})
    await dead.release()
    assert not await store.is_due("job")


async def test_a_released_job_rests_until_it_is_due(store: JobStore) -> None:
    """A job that has ended is given out after its pause, or at once to who wants it early."""
    await (await acquired(store)).release(pause=0.5)
    assert await store.acquire("job", "one") is None
    early = await store.acquire("job", "one", early=True)
    assert early is not None
    await early.release(pause=0.1)
    await asyncio.sleep(0.2)
    await acquired(store)


async def test_a_long_job_keeps_its_lease(store: JobStore) -> None:
    """The runner renews the lease for as long as the job runs."""

    async def run(lease: Lease) -> None:
        for _ in range(6):
            await asyncio.sleep(0.2)
            assert await store.acquire("job", "two") is None

    await hold(Job("job", run, 0), await acquired(store))
    assert await store.is_due("job")


async def test_work_ends_with_the_lease(store: JobStore) -> None:
    """A worker that has lost its lease to another is broken off, so that no two work."""
    ended: list[str] = []

    async def run(lease: Lease) -> None:
        try:
            await store._collection.update_one({"_id": "job"}, {"$set": {"owner": "another"}})
            await asyncio.sleep(30)
        finally:
            ended.append("job")

    with pytest.raises(LeaseLost):
        await hold(Job("job", run, 0), await acquired(store))
    assert ended == ["job"]


async def test_two_workers_share_the_jobs(store: JobStore) -> None:
    """A job that runs for ever runs in one of two workers, and in the other once the first has stopped."""
    running: list[str] = []

    def job(worker: str) -> Job:
        async def run(lease: Lease) -> None:
            running.append(worker)
            try:
                await asyncio.sleep(30)
            finally:
                running.remove(worker)

        return Job("job", run, 0)

    runners = {worker: Runner(store, worker, [job(worker)], look_seconds=0.05) for worker in ("one", "two")}
    for runner in runners.values():
        runner.start()
    await asyncio.sleep(0.7)
    first = list(running)
    assert len(first) == 1
    await runners.pop(first[0]).stop()
    await asyncio.sleep(0.5)
    assert running == list(runners)
    await runners[running[0]].stop()


async def test_a_job_that_fails_says_so_and_is_tried_again(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure's kind is kept for the operator, the job rests and runs again."""
    monkeypatch.setattr("fhir_server.jobs.runner.RETRY_SECONDS", 0.1)
    failed, again = asyncio.Event(), asyncio.Event()

    async def run(lease: Lease) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        again.set()

    runner = Runner(store, "one", [Job("job", run, 3600)], look_seconds=0.05)
    runner.start()
    await asyncio.wait_for(failed.wait(), 10)
    await asyncio.sleep(0.05)
    assert [(each.name, each.failure) for each in await store.progress()] == [("job", "ZeroDivisionError")]
    await asyncio.wait_for(again.wait(), 10)
    await asyncio.sleep(0.1)
    await runner.stop()
    assert [(each.failure, each.owner) for each in await store.progress()] == [("", None)]


async def test_a_job_that_the_database_was_away_from_goes_on_at_the_next_look(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not rest as one that has a fault of its own."""
    monkeypatch.setattr("fhir_server.jobs.runner.LOOK_SECONDS", 0.1)
    rounds = asyncio.Semaphore(0)

    async def run(lease: Lease) -> None:
        rounds.release()
        raise Unavailable("The database is away.")

    runner = Runner(store, "one", [Job("job", run, 0.0)], look_seconds=0.05)
    runner.start()
    try:
        async with asyncio.timeout(50):
            for _ in range(3):
                await rounds.acquire()
    finally:
        await runner.stop()
