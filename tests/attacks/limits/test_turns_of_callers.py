"""Many large requests of one caller do not keep another's waiting behind them all."""

from __future__ import annotations

import asyncio

from fhir_server.http.admission import Admission
from fhir_server.work.budget import Budget, working
from tests.unit.http.test_admission import BIG, Sender, Worker, settle


async def test_a_caller_waits_for_one_request_of_another() -> None:
    """Turns go round among callers; each caller's own are in the order of coming."""
    worker = Worker(Admission(BIG, 10**9, 60))
    with working(Budget(1, caller="many")):
        for _ in range(100):
            worker.ask(BIG)
    await settle()
    with working(Budget(1, caller="one")):
        for _ in range(2):
            worker.ask(BIG)
    for number in (0, 1, 100, 2, 101, 3, 4):
        await settle()
        assert worker.begun[-1] == number
        worker.stops[number].set()
    for stop in worker.stops.values():
        stop.set()
    await asyncio.gather(*worker.tasks)
    assert [number for number in worker.begun if number < 100] == list(range(100))


async def test_a_caller_s_body_is_received_after_one_of_another() -> None:
    """Memory for what waits is shared among those who send, also when one has filled it before."""
    admission = Admission(BIG, 30 * BIG, 60)
    with working(Budget(1, caller="many")):
        many = [Sender(admission, 3) for _ in range(20)]
        tasks = [asyncio.create_task(sender.run()) for sender in many]
    await settle()
    with working(Budget(1, caller="one")):
        one = Sender(admission, 3)
        tasks.append(asyncio.create_task(one.run()))
    await settle()
    assert one.received < 3
    ended = 0
    while one.received < 3:
        next(sender for sender in many if sender.received == 3 and not sender.done.is_set()).done.set()
        ended += 1
        await settle()
    assert ended <= 5
    assert sum(sender.received < 3 for sender in many) >= 5
    for sender in (*many, one):
        sender.done.set()
    await asyncio.gather(*tasks)
    assert all(sender.received == 3 for sender in many)
