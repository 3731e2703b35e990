"""Many large requests of one caller do not keep another's waiting behind them all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.context import Request
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.admission import Admission, rows_weight
from fhir_server.http.limits import caller_of
from fhir_server.settings import Settings
from fhir_server.work.budget import Budget, current, working
from tests.attacks.callers import patient_token, system_token
from tests.facade_server import Hospital
from tests.unit.http.test_admission import BIG, Sender, Worker, until_all_wait


async def test_a_caller_waits_for_one_request_of_another() -> None:
    """Turns go round among callers; each caller's own are in the order of coming."""
    worker = Worker(Admission(BIG, 10**9, 60))
    with working(Budget(1, caller="many")):
        for _ in range(100):
            worker.ask(BIG)
    await until_all_wait()
    with working(Budget(1, caller="one")):
        for _ in range(2):
            worker.ask(BIG)
    for number in (0, 1, 100, 2, 101, 3, 4):
        await until_all_wait()
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
    await until_all_wait()
    with working(Budget(1, caller="one")):
        one = Sender(admission, 3)
        tasks.append(asyncio.create_task(one.run()))
    await until_all_wait()
    assert one.received < 3
    ended = 0
    while one.received < 3:
        next(sender for sender in many if sender.received == 3 and not sender.done.is_set()).done.set()
        ended += 1
        await until_all_wait()
    assert ended <= 5
    assert sum(sender.received < 3 for sender in many) >= 5
    for sender in (*many, one):
        sender.done.set()
    await asyncio.gather(*tasks)
    assert all(sender.received == 3 for sender in many)


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_workers_share_what_is_worked_on_at_once(workers: int) -> None:
    """All of them have the one database and machine: more workers take no more of its memory at a time."""
    settings = Settings(workers=workers, large_bytes_at_once=8 * BIG, large_rows_at_once=8 * BIG // 1024)
    for made in (Admission.of, Admission.of_answers):
        each = Worker(made(settings))
        for _ in range(10):
            each.ask(BIG)
        await until_all_wait()
        assert 1 <= len(each.working) <= 8 // workers
        for stop in each.stops.values():
            stop.set()
        await asyncio.gather(*each.tasks)


BATCHES = {
    "pages": (["Patient?_count=1000"] * 3, 3000),
    "ordinary pages": (["Patient"] * 11, 11 * Settings().default_page_size),
    "everything": (["Patient/1/$everything"], 10_000),
    "reads": (["Patient/1"] * 500, 500),
    "few": (["Patient/1", "Observation?_count=100"], 0),
}


@pytest.mark.parametrize(("urls", "rows"), BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_the_gets_of_a_bundle_count_together(urls: list[str], rows: int, kind: str) -> None:
    """What a bundle asks for is one answer, held in memory as a whole."""
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    odd = [None, {}, {"request": None}, {"request": {"method": "GET", "url": 1}}]
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [*entries, *odd]}
    assert rows_weight(Request("POST", "", resource=bundle), Settings()) == rows * 1024


async def test_uploads_have_their_turn(hospital: Hospital) -> None:
    """A file sent to the hospital's endpoints waits for the same turns as what is sent to /fhir."""
    user = await hospital.sign_up()
    mounted: Any = next(route for route in hospital.app.routes if isinstance(getattr(route, "app", None), FastAPI))
    admission: Admission = mounted.app.state.facade.admission
    admission._patience = 0.05
    sent = {"files": {"file": ("a.txt", b"x" * BIG, "text/plain")}, "data": {"document_type": "other"}}
    admission._working = admission._at_once
    await user.refused("unavailable", "POST", "/history/documents", **sent)
    admission._working = 0
    await user.ask("POST", "/history/documents", status=201, **sent)


def test_a_person_has_one_share() -> None:
    """However many patients and apps a user has tokens for: they are one caller, and another user is another."""
    scope: Any = {"type": "http", "client": ("192.0.2.1", 4711), "headers": []}
    child, own = patient_token("child", fhir_user="RelatedPerson/r"), patient_token("own")
    tokens = [child, own, replace(own, client_id="other app"), replace(own, role="practitioner")]
    assert len({caller_of(scope, ScopedAccess(token)) for token in tokens}) == 1
    others = [own, replace(own, user_id="v"), system_token(), replace(system_token(), client_id="other lab")]
    assert len({caller_of(scope, ScopedAccess(token)) for token in others}) == 4
    assert caller_of(scope) == "192.0.2.1"


async def test_a_person_has_the_same_share_at_the_hospital_s_endpoints(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two users behind one address do not wait for each other, and one user at two doors has no second share."""
    counted: list[str] = []
    handle = FacadeServer.fhir

    def noting(self: FacadeServer, *arguments: Any) -> Any:
        budget = current()
        assert budget is not None
        counted.append(budget.caller)
        return handle(self, *arguments)

    users = [await hospital.sign_up(), await hospital.sign_up("other")]
    monkeypatch.setattr(FacadeServer, "fhir", noting)
    for user in users:
        await user.ask("GET", "/user/profile")
    assert len(set(counted)) == 2
