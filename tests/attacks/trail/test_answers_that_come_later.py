"""What is carried out behind the scenes leaves an event of its own, whether its answer is ever fetched or not."""

from __future__ import annotations

import asyncio

from tests.smart_server import SmartServer

ASYNC = {"Prefer": "respond-async"}


async def test_a_transaction_is_recorded_when_it_is_carried_out(smart: SmartServer) -> None:
    """The event names the patient, the entries and who asked, before anybody has looked at the answer."""
    writer = smart.fhir(await smart.system_token("system/*.cruds"))
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    entry = {
        "resource": {"resourceType": "Patient", "id": "later"},
        "request": {"method": "PUT", "url": "Patient/later"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await writer.post("", json=bundle, headers=ASYNC)).status_code == 202
    async with asyncio.timeout(60):
        while (answer := (await auditor.get("AuditEvent?patient=Patient/later")).json())["total"] == 0:  # noqa: ASYNC110 - the trail is asked as an auditor asks
            await asyncio.sleep(0.1)
    event = answer["entry"][0]["resource"]
    assert event["subtype"][0]["code"] == "transaction"
    assert event["outcome"] == "0"
    assert any(agent.get("requestor") for agent in event["agent"])
