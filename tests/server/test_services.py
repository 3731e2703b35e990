"""Services started alone: processes that share one database are one server."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.server.running import RunningServer

ACCOUNT = {
    "first_name": "Mara",
    "last_name": "Lindqvist",
    "email": "mara@example.org",
    "phone": "+12075550110",
    "password": "korrekt horse 42 staple",
}


def test_services_of_one_hospital_in_processes_of_their_own(tmp_path: Path) -> None:
    """Who signs up at the hospital's service reads the record at FHIR and the health record at a third process."""
    data = tmp_path / "data"
    with RunningServer(data, "--services", "fhir,auth", open_=False) as fhir:
        shared = ("--base-url", fhir.base_url.rstrip("/"))
        with (
            RunningServer(data, "--services", "hms", *shared, open_=False) as hms,
            RunningServer(data, "--services", "ehr", *shared, open_=False) as ehr,
        ):
            session = httpx.post(f"{hms.origin}/user/signup", json=ACCOUNT).raise_for_status().json()
            headers = {"Authorization": f"Bearer {session['access_token']}"}
            patient = httpx.get(f"{fhir.base_url}Patient/{session['patient']}", headers=headers).raise_for_status()
            assert patient.json()["name"][0]["family"] == "Lindqvist"
            configuration = httpx.get(f"{fhir.base_url}.well-known/smart-configuration").raise_for_status().json()
            assert configuration["token_endpoint"] == f"{fhir.origin}/oauth/token"
            assert httpx.get(f"{ehr.origin}/medicine/prescription", headers=headers).json()["items"] == []
            assert httpx.post(f"{hms.origin}/user/logout", headers=headers).status_code == 204
            for url in (f"{fhir.base_url}Patient", f"{ehr.origin}/medicine/prescription"):
                assert httpx.get(url, headers=headers).status_code == 401
            elsewhere = {
                f"{hms.origin}/fhir/metadata",
                f"{hms.origin}/oauth/jwks",
                f"{hms.origin}/medicine/prescription",
                f"{ehr.origin}/user/profile",
                f"{fhir.origin}/user/profile",
                f"{fhir.origin}/docs",
            }
            assert {httpx.get(url).status_code for url in elsewhere} == {404}
