"""The hospital's own URLs begin with what a setting says, and what was stored before the setting changed is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server import own_urls
from tests.facade.billing.test_payment import PAY, paying
from tests.facade.clinic import booking_of, open_clinics
from tests.facade_server import opened

FIRST, SECOND = "https://first.example/hospital", "https://second.example"
KINDS = ("Appointment", "Slot", "Invoice", "HealthcareService", "PaymentReconciliation", "Communication", "Patient")


@pytest.fixture(autouse=True)
def base_of_this_process() -> Iterator[None]:
    """Leave the process with the base that it had."""
    with own_urls.using_base(own_urls.base()):
        yield


async def test_what_is_written_begins_with_the_base(mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """A visit is booked and paid under another base, and no stored resource names the default."""
    async with opened(mongod_url, database_name, tmp_path, canonical_base=FIRST) as hospital:
        await open_clinics(hospital)
        mara = await hospital.sign_up()
        visit = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
        paid = await mara.ask("POST", PAY, paying(visit), status=201)
        assert paid["amount"] == 90.0
        problem = await mara.refused("already_paid", "POST", PAY, paying(visit))
        assert problem["type"] == f"{FIRST}/problems/already_paid"
        stored = [await hospital.fhir("GET", kind) for kind in KINDS]
        assert all(result["total"] for result in stored)
        assert own_urls.DEFAULT_BASE not in str(stored)
        assert f"{FIRST}/fhir/identifier/invoice-for" in str(stored)
        purge = f"{FIRST}/fhir/OperationDefinition/purge"
        assert purge in str(await hospital.fhir("GET", "metadata"))


async def test_what_was_written_before_is_read(mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """Fees, invoices and payments under the default and under a former base count: nothing is paid or made twice."""
    async with opened(mongod_url, database_name, tmp_path) as hospital:
        await open_clinics(hospital)
        mara = await hospital.sign_up()
        first = await mara.ask("POST", "/booking/appointments", booking_of("09:00"), status=201)
        unpaid = await mara.ask("POST", "/booking/appointments", booking_of("10:00"), status=201)
        await mara.ask("POST", PAY, paying(first), status=201)
    async with opened(mongod_url, database_name, tmp_path, canonical_base=FIRST) as hospital:
        mara.http = hospital.http
        await mara.refused("already_paid", "POST", PAY, paying(first))
        await mara.ask("POST", PAY, paying(unpaid), status=201)
        assert (await hospital.fhir("GET", "Invoice"))["total"] == 2
        # The fee of the specialty is an extension that was written under the default.
        third = await mara.ask("POST", "/booking/appointments", booking_of("11:00"), status=201)
    former = {"canonical_base": SECOND, "former_canonical_bases": f"https://other.example,{FIRST}"}
    async with opened(mongod_url, database_name, tmp_path, **former) as hospital:
        mara.http = hospital.http
        await mara.ask("POST", PAY, paying(third), status=201)
        for visit in (first, unpaid, third):
            await mara.refused("already_paid", "POST", PAY, paying(visit))
        assert (await hospital.fhir("GET", "Invoice"))["total"] == 3
