"""Large requests take turns by their bytes, in the order of coming, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from fhir_server.engine.context import Context, Request, Response, Services
from fhir_server.errors import BadRequest
from fhir_server.http.admission import SMALL, Admission, Overloaded, rows_weight
from fhir_server.http.fhir import FhirApp
from fhir_server.http.host_lock import HostLock
from fhir_server.settings import Settings
from fhir_server.work.budget import Budget, working
from tests.client import BASE

BIG = SMALL + 1


async def never() -> Message:
    """Tell nothing: the client waits."""
    await asyncio.Event().wait()
    raise AssertionError


async def hung_up() -> Message:
    """Tell that the client has gone."""
    return {"type": "http.disconnect"}


class Worker:
    """Requests of an admission that work until they are told to stop."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.working: list[int] = []
        self.begun: list[int] = []
        self.stops: dict[int, asyncio.Event] = {}
        self.turns: dict[int, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, size: int) -> asyncio.Task[None]:
        """Begin a request of that size; its number is that of its coming."""
        number = len(self.tasks)
        self.stops[number], self.turns[number] = asyncio.Event(), asyncio.Event()
        self.tasks.append(asyncio.create_task(self._run(number, size)))
        return self.tasks[-1]

    async def _run(self, number: int, size: int) -> None:
        async with self.admission.turn(size, never):
            self.begun.append(number)
            self.turns[number].set()
            self.working.append(size)
            await self.stops[number].wait()
            self.working.remove(size)

    async def has_begun(self, number: int) -> None:
        """Return once that request has its turn."""
        async with asyncio.timeout(30):
            await self.turns[number].wait()


async def until_all_wait() -> None:
    """Let everything that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def serve(sizes: list[int], at_once: int) -> None:
    """Have requests of the sizes served, each ended in turn, and check the rule at every step."""
    worker = Worker(Admission(at_once, 10**9, 60))
    for size in sizes:
        worker.ask(size)
    for number in range(len(sizes)):
        await until_all_wait()
        large = [size for size in worker.working if size > SMALL]
        assert sum(large) <= at_once or len(large) == 1
        assert number in worker.begun
        worker.stops[number].set()
    await asyncio.gather(*worker.tasks)
    assert [number for number in worker.begun if sizes[number] > SMALL] == [
        number for number, size in enumerate(sizes) if size > SMALL
    ]


@given(st.lists(st.integers(1, 6 * SMALL), max_size=12), st.integers(1, 10 * SMALL))
def test_so_many_bytes_at_once_in_the_order_of_coming(sizes: list[int], at_once: int) -> None:
    """Whatever comes: large ones share the bytes or work alone, nobody overtakes, and all get their turn."""
    asyncio.run(serve(sizes, at_once))


async def test_who_hangs_up_has_no_turn() -> None:
    """What a client no longer waits for is not done, and the next one's turn comes as if it had not asked."""
    worker = Worker(Admission(BIG, 10**9, 60))
    worker.ask(BIG)
    await until_all_wait()
    with pytest.raises(BadRequest):
        async with worker.admission.turn(BIG, hung_up):
            raise AssertionError
    worker.ask(BIG)
    worker.stops[0].set()
    await until_all_wait()
    assert worker.begun == [0, 1]
    worker.stops[1].set()
    await asyncio.gather(*worker.tasks)


async def test_a_cancelled_request_gives_its_turn_up() -> None:
    """Whether it waits or works."""
    worker = Worker(Admission(BIG, 10**9, 60))
    working, waiting = worker.ask(BIG), worker.ask(BIG)
    worker.ask(BIG)
    await until_all_wait()
    waiting.cancel()
    working.cancel()
    await until_all_wait()
    assert worker.begun == [0, 2]
    worker.stops[2].set()
    await worker.tasks[2]


async def test_who_waits_too_long_is_told_when_to_come_again() -> None:
    """503 with Retry-After; who works goes on."""
    worker = Worker(Admission(BIG, 10**9, 0.01))
    worker.ask(BIG)
    await until_all_wait()
    with pytest.raises(Overloaded) as refused:
        async with worker.admission.turn(BIG, never):
            raise AssertionError
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) > 0
    worker.stops[0].set()
    await worker.tasks[0]


def parts(count: int) -> list[Message]:
    """Return the messages of a body of so many parts, each a large one."""
    return [{"type": "http.request", "body": b"x" * BIG, "more_body": n < count - 1} for n in range(count)]


class Sender:
    """A client that sends its body as it is asked for it."""

    def __init__(self, admission: Admission, count: int) -> None:
        self._parts = iter(parts(count))
        self._admission = admission
        self.received = 0
        self.done = asyncio.Event()

    async def receive(self) -> Message:
        """Return the next part."""
        return next(self._parts)

    async def run(self) -> None:
        """Receive the body, and keep it until told that it is done with."""
        with self._admission.body(self.receive) as body:
            while (await body.receive())["more_body"]:
                self.received += 1
            self.received += 1
            await self.done.wait()


async def test_bodies_beyond_the_memory_wait_unread() -> None:
    """The oldest is received whole however large it is, others when there is memory again."""
    admission = Admission(BIG, 3 * BIG, 60)
    senders = [Sender(admission, 4) for _ in range(5)]
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    await until_all_wait()
    assert senders[0].received == 4
    assert sum(sender.received for sender in senders) < 4 + 5
    for sender in senders:
        await until_all_wait()
        assert sender.received == 4
        sender.done.set()
    await asyncio.gather(*tasks)


@asynccontextmanager
async def busy_server(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A server that never ends its first large request before it is closed."""
    numbers, stop = itertools.count(), asyncio.Event()

    async def handle(_: Context, request: Request) -> Response:
        if request.method == "POST" and next(numbers) == 0:
            await stop.wait()
        return Response(200, b"{}")

    app = FhirApp(handle, BASE, "/fhir", Admission(BIG, 10**9, 0.05))
    app.services = services
    headers = {"Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers) as client:
        first = asyncio.create_task(client.post("Basic", json={"resourceType": "Basic", "id": "x" * BIG}))
        await until_all_wait()
        yield client
        stop.set()
        assert (await first).status_code == 200


async def test_overload_is_503_and_small_requests_pass(services: Services) -> None:
    """A large request that has no turn in time gets an OperationOutcome and Retry-After; small ones do not wait."""
    async with busy_server(services) as client:
        refused = await client.post("Basic", json={"resourceType": "Basic", "id": "x" * BIG})
        assert refused.status_code == 503
        assert refused.json()["issue"][0]["code"] == "transient"
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.post("Basic", json={"resourceType": "Basic"})).status_code == 200
        assert (await client.get("Basic/1")).status_code == 200


@pytest.mark.parametrize(
    ("path", "count", "rows"),
    [
        ("Patient", None, 0),
        ("Patient", "200", 0),
        ("Patient", "201", 201),
        ("Patient", "1000000", 1000),
        ("Patient", "x", 0),
        ("Patient/1/$everything", None, 10_000),
        ("Patient/1/$everything", "20", 0),
    ],
)
def test_large_answers_count_by_the_rows_that_they_may_have(path: str, count: str | None, rows: int) -> None:
    """An ordinary page waits for nobody."""
    query = [] if count is None else [("_count", count)]
    assert rows_weight(Request("GET", path, query), Settings()) == rows * 1024


async def test_large_answers_take_turns(services: Services) -> None:
    """So many rows at once; an ordinary page beside them is answered."""
    working = most = 0

    async def handle(_: Context, request: Request) -> Response:
        nonlocal working, most
        if request.query:
            working += 1
            most = max(most, working)
            await until_all_wait()
            working -= 1
        return Response(200, b"{}")

    app = FhirApp(handle, BASE, "/fhir", None, Admission(2000 * 1024, 1, 60))
    app.services = services
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/") as client:
        items = [client.get(path) for path in ["Patient?_count=1000"] * 6 + ["Patient"]]
        assert {answer.status_code for answer in await asyncio.gather(*items)} == {200}
    assert most == 2


def workers_of_a_host(lock: Path) -> tuple[Worker, Worker]:
    """Return two workers, which share what is larger than both take at once."""
    return Worker(Admission(BIG, 10**9, 60, HostLock(lock, 2 * BIG))), Worker(
        Admission(BIG, 10**9, 60, HostLock(lock, 2 * BIG))
    )


async def test_one_worker_of_a_host_has_the_largest_request(tmp_path: Path) -> None:
    """Another worker's waits for it, is passed by what others send, and begins when it has ended."""
    one, other = workers_of_a_host(tmp_path / "data" / "lock")
    one.ask(9 * BIG)
    await until_all_wait()
    other.ask(9 * BIG)
    with working(Budget(1, caller="another")):
        other.ask(BIG)
    await until_all_wait()
    assert (one.begun, other.begun) == ([0], [1])
    other.stops[1].set()
    await until_all_wait()
    assert other.begun == [1]
    one.stops[0].set()
    await other.has_begun(0)
    other.stops[0].set()
    await asyncio.gather(*one.tasks, *other.tasks)


async def test_the_largest_request_waits_for_what_is_at_work_in_its_worker(tmp_path: Path) -> None:
    """It keeps the right that it has got, and nothing overtakes it then."""
    one, other = workers_of_a_host(tmp_path / "lock")
    one.ask(BIG)
    one.ask(9 * BIG)
    one.ask(BIG)
    other.ask(9 * BIG)
    await until_all_wait()
    assert (one.begun, other.begun) == ([0], [])
    one.stops[0].set()
    await until_all_wait()
    assert one.begun == [0, 1]
    for stop in [*one.stops.values(), *other.stops.values()]:
        stop.set()
    await asyncio.gather(*one.tasks, *other.tasks)


async def test_the_right_falls_when_who_waits_goes(tmp_path: Path) -> None:
    """A request that has it and is given up before its turn does not keep it."""
    one, other = workers_of_a_host(tmp_path / "lock")
    one.ask(BIG)
    waiting = one.ask(9 * BIG)
    await until_all_wait()
    waiting.cancel()
    await until_all_wait()
    other.ask(9 * BIG)
    await until_all_wait()
    assert other.begun == [0]
    for worker in (one, other):
        worker.stops[0].set()
    await asyncio.gather(*one.tasks, *other.tasks, return_exceptions=True)


async def test_the_right_falls_with_its_worker(tmp_path: Path) -> None:
    """A worker that is killed in the midst of a request leaves nothing behind."""
    program = (
        "import sys, time; from pathlib import Path; from fhir_server.http.host_lock import HostLock;"
        "lock = HostLock(Path(sys.argv[1]), 1); print(lock.try_acquire(lock, 2), flush=True); time.sleep(600)"
    )
    path = tmp_path / "lock"
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path), stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert await killed.stdout.readline() == b"True\n"
    worker, _ = workers_of_a_host(path)
    worker.ask(9 * BIG)
    await until_all_wait()
    assert worker.begun == []
    killed.kill()
    await killed.wait()
    await worker.has_begun(0)
    worker.stops[0].set()
    await asyncio.gather(*worker.tasks)


async def test_no_request_is_refused_for_want_of_a_place_for_the_lock(tmp_path: Path) -> None:
    """A data directory that cannot be made is no fault of the request's."""
    (tmp_path / "file").touch()
    worker, _ = workers_of_a_host(tmp_path / "file" / "lock")
    worker.ask(9 * BIG)
    await until_all_wait()
    assert worker.begun == [0]
    worker.stops[0].set()
    await asyncio.gather(*worker.tasks)
