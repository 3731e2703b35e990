"""A view costs its caller, and nobody else: its expressions run apart, and what it multiplies has limits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from fhir_server.r4.views import ViewError, compile_view
from fhir_server.settings import Settings
from fhir_server.work import threads

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "a",
    "name": [{"family": "x" * 500, "given": ["y"] * 30} for _ in range(40)],
}
COSTLY = "descendants().select(%resource.descendants().count())"


@pytest.fixture
def settings() -> Settings:
    """Limits that small inputs pass."""
    return Settings(max_answer_bytes=1_000_000)


def view(*selections: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "ViewDefinition", "resource": "Patient", "select": list(selections)}


def column(path: str, name: str = "a", **properties: Any) -> dict[str, Any]:
    return {"name": name, "path": path, **properties}


async def run(client: httpx.AsyncClient, definition: dict[str, Any], form: str = "ndjson") -> httpx.Response:
    parts = [{"name": "viewResource", "resource": definition}, {"name": "resource", "resource": PATIENT}]
    body = {"resourceType": "Parameters", "parameter": parts}
    return await client.post(f"ViewDefinition/$viewdefinition-run?_format={form}", json=body)


@pytest.mark.parametrize("path", ["$this", "%resource"])
def test_a_repeat_without_an_end_is_refused_early(path: str) -> None:
    """A path that leads back to where it began is stopped by the number of items, which fills no memory."""
    compiled = compile_view(view({"repeat": [path, path], "column": [column("id")]}))
    with pytest.raises(ViewError, match="more than 100000 rows"):
        compiled.rows(PATIENT)


def test_wide_rows_are_fewer() -> None:
    """Rows times columns have a limit, of one selection and of several side by side."""
    columns = [column("id", f"c{number}") for number in range(500)]
    each = {"forEach": "name.given", "column": [column("$this", "given")]}
    other = {"forEach": "name.given.take(40)", "column": [column("$this", "other")]}
    assert len(compile_view(view(each)).rows(PATIENT)) == 1200
    with pytest.raises(ViewError, match="more than 3984 rows"):
        compile_view(view(each, other, {"column": columns})).rows(PATIENT)


@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
async def test_rows_that_repeat_a_long_text_are_refused(client: httpx.AsyncClient, form: str) -> None:
    """In memory they share it, written they do not."""
    long_rows = view({"forEach": "name.given", "column": [column("%resource.name.family.join()")]})
    answer = await run(client, long_rows, form)
    assert answer.status_code == 413
    assert "max_answer_bytes" in answer.json()["issue"][0]["diagnostics"]


async def test_costly_expressions_hold_nobody_up(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a view computes is computed in a thread: the event loop is never held for the time that it takes."""
    threads.share_evenly()
    longest, over = 0.0, asyncio.Event()

    async def other() -> None:
        nonlocal longest
        while not over.is_set():
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    watching = asyncio.create_task(other())
    began = time.process_time()
    answer = await run(client, view({"column": [column(COSTLY, collection=True)]}))
    took = time.process_time() - began
    over.set()
    await watching
    assert answer.status_code == 422, answer.text
    assert "too costly" in answer.text
    assert longest < took / 4
