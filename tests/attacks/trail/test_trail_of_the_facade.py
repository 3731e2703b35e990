"""The endpoints of the hospital cannot dodge the trail: staff who work on a visit are told with its patient."""

from __future__ import annotations

from tests.facade.visits.test_clinic import body, people, staff_of
from tests.facade_server import Hospital


async def test_the_staff_s_requests_name_the_patient(hospital: Hospital) -> None:
    """The token of a member of the staff names no patient; the data that were read do."""
    ((mara, appointment),) = await people(hospital, 1)
    await mara.ask("POST", "/clinic/arrival", body(appointment))
    doctor = await staff_of(hospital, "okpara")
    await doctor.ask("POST", "/clinic/visit/complete", body(appointment))
    await hospital.app.state.audit.flush()
    answer = await hospital.fhir("GET", "AuditEvent?subtype=hospital&_sort=_id&_count=100")
    events = [entry["resource"] for entry in answer["entry"]]
    (by_staff,) = [
        event for event in events if event["agent"][0].get("who", {}).get("reference") == "Practitioner/okpara"
    ]
    named = {entity["what"]["reference"] for entity in by_staff["entity"] if "what" in entity}
    assert f"Patient/{mara.id}" in named
