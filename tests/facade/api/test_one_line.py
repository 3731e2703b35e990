"""Texts of one line: what is shown, mailed and printed in one line holds no line break or other control character."""

from __future__ import annotations

from typing import Any

import pytest

from tests.facade.endpoints import BY_NUMBER
from tests.facade.world import World

FIELDS = [
    ("1", "first_name"),
    ("1", "last_name"),
    ("6", "first_name"),
    ("6", "last_name"),
    ("9", "name"),
    ("10", "name"),
    ("12", "provider"),
    ("12", "policy_number"),
    ("12", "member_id"),
    ("13", "card_token"),
    ("14", "q"),
    ("14", "city"),
    ("14", "specialty"),
    ("16", "q"),
    ("30", "provider"),
    ("34", "policy_number"),
    ("upload", "title"),
]
CONTROLS = ["\n", "\r\n", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("number", "field"), FIELDS)
async def test_one_line_fields_refuse_control_characters(world: World, number: str, field: str) -> None:
    """Each field that is one line names itself when it is given more, in bodies, forms and queries alike."""
    endpoint = BY_NUMBER[number]
    requested: dict[str, Any] = world.request_of(endpoint)
    place = "body" if endpoint.body is not None else "params"
    for control in CONTROLS:
        if control == "\r\n" and endpoint.multipart:
            continue
        form = {**requested[place], field: f"A{control}b"}
        body = {**requested, place: form}
        if endpoint.multipart:
            headers = {"Authorization": f"Bearer {world.mara.session['access_token']}"}
            files = {"file": ("knee.pdf", b"%PDF", "application/pdf")}
            answer = await world.mara.http.post(endpoint.path, data=form, files=files, headers=headers)
        else:
            values = body["body"] if endpoint.body is not None else None
            answer = await world.mara.send(endpoint.method, body["path"], values, params=body["params"])
        problem = answer.json()
        assert (answer.status_code, problem["errors"][0]["field"]) == (422, field), (control, problem)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reason_may_have_lines(world: World) -> None:
    """What a patient writes as a reason may be several lines."""
    requested = world.request_of(BY_NUMBER["18"], appointment_time="11:00")
    booked = await world.mara.ask(
        "POST", requested["path"], {**requested["body"], "reason": "Pain\nin the knee"}, status=201
    )
    assert booked["reason"] == "Pain\nin the knee"
