"""What the contract says of every endpoint alike: tokens, ids, faulty requests, lists and languages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.facade.endpoints import ENDPOINTS, Endpoint
from tests.facade.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


def rows(condition: Any = lambda row: True) -> Any:
    """Return the decorator that runs a test for the rows that meet the condition."""
    chosen = [row for row in ENDPOINTS if condition(row)]
    return pytest.mark.parametrize("row", chosen, ids=[row.title for row in chosen])


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem that the answer must be."""
    assert response.headers.get("content-type") == "application/problem+json", response.text
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert {"type", "title", "detail"} <= problem.keys()
    return problem


@rows(lambda row: not row.open)
async def test_without_a_token(world: World, row: Endpoint) -> None:
    """Without a token, and with one that is none, the answer is 401 with a challenge."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        response = await world.ask(world.hospital.visitor(), row, headers=headers)
        problem_of(response, 401, "invalid_token")
        assert response.headers["www-authenticate"].startswith("Bearer")


@rows(lambda row: row.open and row.method == "GET")
async def test_the_catalogue_needs_no_token(world: World, row: Endpoint) -> None:
    """The catalogue is open to all, also to who sends a token that is none."""
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        assert (await world.ask(world.hospital.visitor(), row, headers=headers)).status_code == 200


# --- Ids ---------------------------------------------------------------------------------------------------------


@rows(lambda row: row.own)
async def test_what_is_another_s_does_not_exist(world: World, row: Endpoint) -> None:
    """Another user's id and an unknown one have the same answer: 404 in a path or query, in a body 422 by its field."""
    for name in row.own:
        others = await world.ask(world.noor, row, **_nothing_of_her_own(row, name))
        for unknown in ("00000000-0000-4000-8000-000000000000", "_history", "1/_history/1"):
            answer = await world.ask(world.noor, row, **_nothing_of_her_own(row, name), **{name: unknown})
            assert answer.status_code == others.status_code
            assert answer.headers.get("content-type") == others.headers.get("content-type")
            if "/" not in unknown or name not in row.in_path:
                assert answer.json() == others.json()
        _require_not_there(others, row, name)


def _nothing_of_her_own(row: Endpoint, name: str) -> dict[str, Any]:
    # What else the request names must not be what it is refused for.
    return {other: None for other in row.own if other != name and other not in row.in_path}


@rows(lambda row: row.own or row.public)
async def test_unknown_ids(world: World, row: Endpoint) -> None:
    """An id that nothing has is 404 in a path or query, and in a body 422 by its field."""
    for name in (*row.own, *row.public):
        _require_not_there(await world.ask(world.mara, row, **{name: "unknown"}), row, name)


def _require_not_there(response: httpx.Response, row: Endpoint, name: str) -> None:
    if name in {*row.query, *row.in_path}:
        problem_of(response, 404, "not_found")
    else:
        problem = problem_of(response, 422, "validation_failed")
        assert [error["field"] for error in problem["errors"]] == [name]


# --- Faulty requests ---------------------------------------------------------------------------------------------


@rows(lambda row: row.body is not None and not row.multipart)
async def test_bodies_that_are_no_json(world: World, row: Endpoint) -> None:
    """A body that cannot be read is 400."""
    headers = {"Authorization": f"Bearer {world.mara.session['access_token']}", "Content-Type": "application/json"}
    path = world.request_of(row)["path"]
    for content in (b"{", b"{'a': 1}", b"\xff", b'{"a": 1,}'):
        response = await world.mara.http.request(row.method, path, content=content, headers=headers)
        problem_of(response, 400, "malformed")


@rows(lambda row: row.body is not None and not row.multipart)
async def test_fields_of_another_type(world: World, row: Endpoint) -> None:
    """A field of another type is 422 and named, in the language that is asked for."""
    for name in row.body or ():
        for value in ([], {"$ne": 1}, True):
            english = problem_of(await world.ask(world.mara, row, **{name: value}), 422, "validation_failed")
            assert [error["field"] for error in english["errors"]] == [name]
            response = await world.ask(world.mara, row, **{name: value}, headers={"Accept-Language": "es"})
            spanish = problem_of(response, 422, "validation_failed")
            assert spanish["title"] != english["title"]
            assert spanish["errors"][0]["message"] != english["errors"][0]["message"]


@rows(lambda row: row.body is not None)
async def test_fields_that_there_are_none_of(world: World, row: Endpoint) -> None:
    """A field that the body does not have is 422 and named, in JSON and in a form."""
    requested = world.request_of(row)
    body = {**requested["body"], "nickname": "M"}
    if row.multipart:
        response = await world.mara.http.post(
            requested["path"],
            data=body,
            files={"file": ("a.pdf", b"%PDF", "application/pdf")},
            headers={"Authorization": f"Bearer {world.mara.session['access_token']}"},
        )
    else:
        response = await world.mara.send(row.method, requested["path"], body)
    problem = problem_of(response, 422, "validation_failed")
    assert [error["field"] for error in problem["errors"]] == ["nickname"]


@rows(lambda row: row.number not in ("4", "stream"))
async def test_parameters_that_there_are_none_of(world: World, row: Endpoint) -> None:
    """A query parameter that the endpoint does not have is 422 and named: a misspelt filter is not passed over."""
    requested = world.request_of(row)
    query = {**requested["params"], "clinicId": "harbour"}
    body = requested["body"] if row.body is not None and not row.multipart else None
    response = await world.mara.send(row.method, requested["path"], body, params=query)
    assert "clinicId" in [error["field"] for error in problem_of(response, 422, "validation_failed")["errors"]]


# --- Lists -------------------------------------------------------------------------------------------------------


@rows(lambda row: row.list)
async def test_lists(world: World, row: Endpoint) -> None:
    """A list is items, total and next, a page at a time, each item once; rows say when they were made and changed."""
    requested = world.request_of(row)
    whole = (await world.ask(world.mara, row)).json()
    assert {"items", "total", "next"} <= whole.keys()
    assert whole["total"] == len(whole["items"]) > 0
    collected: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = {**requested["params"], "limit": 1, **({"cursor": cursor} if cursor else {})}
        answer = await world.mara.ask("GET", requested["path"], params=page)
        assert answer["total"] == whole["total"]
        assert len(answer["items"]) == 1
        collected += answer["items"]
        cursor = answer["next"]
    assert [item["id"] for item in collected] == [item["id"] for item in whole["items"]]
    if row.number != "17":  # a slot that nobody has written is no row of a table
        assert all(item["created_at"] and item["updated_at"] for item in collected)


@rows(lambda row: row.list)
async def test_faulty_lists(world: World, row: Endpoint) -> None:
    """A cursor that is none, or another list's, is 400 `bad_cursor`; a limit over 100 or under 1 is 422."""
    requested = world.request_of(row)
    other = "/booking/clinics" if row.number != "14" else "/booking/specialties"
    foreign = (await world.mara.ask("GET", other, params={"limit": 1}))["next"]
    for cursor in ("x", "", "\u00e9", "=" * 100, foreign, foreign[:-2]):
        response = await world.mara.send("GET", requested["path"], params={**requested["params"], "cursor": cursor})
        problem_of(response, 400, "bad_cursor")
    for limit in (0, 101, -1, 10**30, "x", "1.5"):
        response = await world.mara.send("GET", requested["path"], params={**requested["params"], "limit": limit})
        problem = problem_of(response, 422, "validation_failed")
        assert [error["field"] for error in problem["errors"]] == ["limit"]


# --- Languages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "spanish"),
    [
        ("es", True),
        ("es-MX,es;q=0.9", True),
        ("en;q=0.5, es", True),
        ("fr, es;q=0.1", True),
        ("en", False),
        ("fr", False),
        ("*", False),
        ("es;q=0", False),
        ("\u00e9;q=x,,;", False),
        (None, False),
    ],
)
async def test_the_language_of_a_problem(world: World, header: str | None, spanish: bool) -> None:
    """Accept-Language chooses the language of a problem; one that is not spoken falls back to English."""
    headers = {"Accept-Language": header.encode()} if header else {}
    problem = await world.noor.refused("not_found", "PUT", "/notifications/x/read", headers=headers)
    assert (problem["title"] == "No existe.") is spanish
