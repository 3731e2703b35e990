"""A hospital in CSV files, in and out, by the commands' own course."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from fhir_server import own_urls
from fhir_server.auth.accounts.passwords import verify_password
from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.hospital.tables.tables import BY_NAME
from fhir_server.services import services_on
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.hospital import SMALL, times


def sorted_rows(tables: Any) -> Any:
    """Return the tables with every column that the hospital's own schema has, by id."""
    return {
        name: sorted(({column: row.get(column) for column in BY_NAME[name].columns} for row in some),
                     key=lambda row: row["id"])
        for name, some in tables.items()
    }  # fmt: skip


def test_the_tables_come_back_column_by_column(desk: Desk, tmp_path: Path) -> None:
    """What is exported after an import is what was imported, quotes, newlines, accents, decimals and nulls included."""
    hospital.write(tmp_path / "in", SMALL)
    summary = desk.import_from(tmp_path / "in", timezone="Europe/Madrid")
    assert summary.refusals == []
    assert desk.export_to(tmp_path / "out").refusals == []
    assert hospital.read(tmp_path / "out") == sorted_rows(SMALL)


def test_the_tables_come_back_under_another_base(desk: Desk, tmp_path: Path) -> None:
    """An import under another canonical base writes no URL of the default, and under a further one it is read."""
    hospital.write(tmp_path / "in", SMALL)
    desk.settings = desk.settings.model_copy(update={"canonical_base": "https://first.example"})
    with own_urls.using_base(own_urls.base()):
        assert desk.import_from(tmp_path / "in").refusals == []
        for kind in ("Patient", "Appointment", "Invoice", "HealthcareService"):
            written = str(desk.stored(kind))
            assert own_urls.DEFAULT_BASE not in written
            assert "https://first.example/fhir/" in written
        again = {"canonical_base": "https://second.example", "former_canonical_bases": "https://first.example"}
        desk.settings = desk.settings.model_copy(update=again)
        assert desk.export_to(tmp_path / "out").refusals == []
    assert hospital.read(tmp_path / "out") == sorted_rows(SMALL)


def test_importing_twice_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    """A second import of the same files writes nothing: no resource gets another version."""
    hospital.write(tmp_path / "in", SMALL)
    first = desk.import_from(tmp_path / "in")
    again = desk.import_from(tmp_path / "in")
    assert {outcome for _, outcome in first.counts} == {"created"}
    assert {outcome for _, outcome in again.counts} == {"unchanged"}
    assert first.counts.total() == again.counts.total() == sum(map(len, SMALL.values()))
    for kind in ("Patient", "Appointment", "Invoice", "PaymentReconciliation", "DiagnosticReport"):
        assert {result["version"] for result in desk.stored(kind).values()} == {1}
        assert desk.stored(f"{kind}_history") == {}


def test_a_row_that_changed_at_the_source_is_updated(desk: Desk, tmp_path: Path) -> None:
    """A changed row makes the next version; its times still come back, and what was taken out of it goes."""
    hospital.write(tmp_path / "in", SMALL)
    desk.import_from(tmp_path / "in")
    later = "2024-06-07T08:09:10+00:00"
    changed: Any = {
        **SMALL,
        "clinics": [SMALL["clinics"][0] | {"city": "Sevilla", "updated_at": later}],
        "lab_tests": [SMALL["lab_tests"][0] | {"result": None}, SMALL["lab_tests"][1]],
    }
    hospital.write(tmp_path / "in", changed)
    summary = desk.import_from(tmp_path / "in")
    assert {key: count for key, count in summary.counts.items() if key[1] == "updated"} == {
        ("clinics", "updated"): 1,
        ("lab_tests", "updated"): 1,
    }
    assert desk.stored("Location")["1"]["version"] == 2
    assert desk.stored("DiagnosticReport")["1"]["method"] == "DELETE"
    desk.export_to(tmp_path / "out")
    assert hospital.read(tmp_path / "out") == sorted_rows(changed)


def test_what_was_changed_here_is_not_overwritten(desk: Desk, tmp_path: Path) -> None:
    """A row whose resource was changed here since is refused, and so is one whose id another resource has."""
    hospital.write(tmp_path / "in", SMALL)
    desk.import_from(tmp_path / "in")
    changed: Any = {**SMALL, "clinics": [SMALL["clinics"][0] | {"city": "Sevilla"}]}
    hospital.write(tmp_path / "other", changed)
    # The first hospital's record is that of a prefix; under none of its keys, the second one knows nothing.
    desk.import_from(tmp_path / "other", prefix="b-")
    assert desk.stored("Location").keys() == {"1", "b-1"}

    async def change() -> None:
        database = await Database.connect(desk.settings.database_url or "", desk.settings.database_name)
        resource = desk.resource("Location", "1") | {"description": "changed here"}
        context = Context(await services_on(database, desk.settings), "http://server.test/fhir")
        await handle(context, Request("PUT", "Location/1", resource=resource))
        foreign = {"resourceType": "RelatedPerson", "id": "9", "patient": {"reference": "Patient/1"}}
        await handle(context, Request("PUT", "RelatedPerson/9", resource=foreign))
        await database.close()

    asyncio.run(change())
    changed["user_family"] = [*SMALL["user_family"], times(id="9", user_id="1", name="Eva", relation="child")]
    hospital.write(tmp_path / "in", changed)
    summary = desk.import_from(tmp_path / "in")
    assert [(result.file, result.status) for result in summary.refusals] == [("clinics", 409), ("user_family", 409)]
    assert desk.resource("Location", "1")["description"] == "changed here"
    assert "name" not in desk.resource("RelatedPerson", "9")


def test_a_deleted_row_is_a_deleted_resource_with_its_history(desk: Desk, tmp_path: Path) -> None:
    """A row with deleted_at is stored and deleted, its content stays in the history, and its time comes back."""
    gone = SMALL["appointments"][0] | {"deleted_at": "2024-05-06T07:08:09+00:00"}
    tables: Any = {**SMALL, "appointments": [gone]}
    hospital.write(tmp_path / "in", tables)
    summary = desk.import_from(tmp_path / "in")
    assert summary.counts["appointments", "deleted"] == 1
    assert desk.stored("Appointment")["1"]["method"] == "DELETE"
    assert desk.stored("Appointment_history")["1/1"]["method"] == "PUT"
    # What refers to it has the patient of the deleted one all the same.
    assert desk.resource("Encounter", "1")["subject"] == {"reference": "Patient/1"}
    desk.export_to(tmp_path / "out")
    assert hospital.read(tmp_path / "out") == sorted_rows(tables)
    assert {outcome for _, outcome in desk.import_from(tmp_path / "in").counts} == {"unchanged"}


def test_a_bad_row_is_refused_alone_and_reported(desk: Desk, tmp_path: Path) -> None:
    """Faulty rows are reported with place, column and reason; their neighbours are stored."""
    bad: list[dict[str, str | None]] = [
        times(id="2", name="ok", city="Ávila"),
        times(id="3", latitude="north", longitude="1"),
        times(id="4", latitude="1", longitude=None),
        times(id="2", name="again", city=None),
        times(id=None, name="nobody"),
        times(id="5", phone="\x01"),
    ]
    columns = {column: None for row in bad for column in row}
    hospital.write(tmp_path / "in", {"clinics": [columns | row for row in bad]})
    with (tmp_path / "in" / "clinics.csv").open("a", encoding="latin-1", newline="") as file:
        file.write("6,too few\r\n")
        file.write(",".join("7" if name == "id" else "\xe9" if name == "name" else "" for name in columns) + "\r\n")
    summary = desk.import_from(tmp_path / "in", timezone="Europe/Madrid")
    assert desk.stored("Location").keys() == {"2"}
    issues = {result["place"]: result["issues"][0] for result in desk.report}
    assert len(summary.refusals) == len(issues) == 7
    assert issues["line 3"]["expression"] == ["clinics.latitude"]
    assert "belong together" in issues["line 4"]["diagnostics"]
    assert "twice" in issues["line 5"]["diagnostics"]
    assert issues["line 6"]["expression"] == ["clinics.id"]
    assert issues["line 7"]["expression"] == ["clinics.phone"]
    assert "2 cells" in issues["line 8"]["diagnostics"]
    assert issues["line 9"]["expression"] == ["clinics.name"]


def test_a_row_that_points_nowhere_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A visit of an appointment that is not there has no patient, so it cannot be stored."""
    hospital.write(tmp_path / "in", {"visit_tracking": SMALL["visit_tracking"]})
    (refusal,) = desk.import_from(tmp_path / "in").refusals
    assert "Appointment/1" in refusal.issues[0]["diagnostics"]


def test_users_can_sign_in_with_the_password_they_had(desk: Desk, tmp_path: Path) -> None:
    """The account has the user's names and the hash of the other system; a banned user's is disabled."""
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    users = [SMALL["users"][0] | {"password_hash": hashed}, SMALL["users"][1]]
    hospital.write(tmp_path / "in", {"users": users})
    desk.import_from(tmp_path / "in")
    accounts = {result["fhir_user"]: result for result in desk.stored("oauth_users").values()}
    ana, bob = accounts["Patient/1"], accounts["Patient/2"]
    assert asyncio.run(verify_password("correct horse", ana["password"]))
    assert not asyncio.run(verify_password("wrong horse", ana["password"]))
    assert (ana["disabled"], bob["disabled"]) == (False, True)
    names = {name: result["user"] for name, result in desk.stored("login_names").items()}
    assert names == {
        "email:ana@example.org": ana["_id"],
        "phone:+34600111222": ana["_id"],
        "email:bob@example.org": bob["_id"],
    }
    assert hashed not in str(desk.resource("Patient", "1"))


def test_a_name_is_of_one_user_only(desk: Desk, tmp_path: Path) -> None:
    """Of two users with one address both are stored, the first one signs in with it, and the report says so."""
    users = [SMALL["users"][0], SMALL["users"][1] | {"email": "ANA@example.org"}]
    hospital.write(tmp_path / "in", {"users": users})
    assert desk.import_from(tmp_path / "in").refusals == []
    names = desk.stored("login_names")
    assert names["email:ana@example.org"]["user"] == _account(desk, "Patient/1")["_id"]
    (note,) = desk.report
    assert (note["place"], note["issues"][0]["expression"]) == ("line 3", ["users.email"])
    assert desk.resource("Patient", "2")["telecom"][0]["value"] == "ANA@example.org"


def test_ids_are_kept_where_fhir_can_say_them(desk: Desk, tmp_path: Path) -> None:
    """Strange ids are written in other characters and come back; a prefix is put before them all and taken away."""
    users = [SMALL["users"][0] | {"id": "user_1/é"}]
    family = [SMALL["user_family"][0] | {"user_id": "user_1/é"}]
    hospital.write(tmp_path / "in", {"users": users, "user_family": family})
    desk.import_from(tmp_path / "in", prefix="mad-")
    assert desk.stored("Patient").keys() == {"mad-user.5F1.2F.C3.A9"}
    desk.export_to(tmp_path / "out", prefix="mad-")
    assert hospital.read(tmp_path / "out") == sorted_rows({"users": users, "user_family": family})


def test_blanks_and_unknown_columns_are_noted(desk: Desk, tmp_path: Path) -> None:
    """A cell of white space is null; that, and a column that is left out, stands in the report."""
    hospital.write(tmp_path / "in", {"clinics": [SMALL["clinics"][0] | {"city": "  ", "colour": "red"}]})
    assert desk.import_from(tmp_path / "in").refusals == []
    issues = [result["issues"][0]["diagnostics"] for result in desk.report]
    assert len(issues) == 3
    assert "colour" in issues[0]
    assert "--timezone" in issues[1]
    assert "city" in issues[2]


def test_a_file_is_written_for_its_owner_only(desk: Desk, tmp_path: Path) -> None:
    """What is exported is about patients: nobody else on the machine can read it."""
    desk.export_to(tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}


def test_no_tables_is_a_fault_of_the_operator(desk: Desk, tmp_path: Path) -> None:
    """A folder without tables, or none at all, is said in one line."""
    with pytest.raises(StartupError, match="none of the hospital's tables"):
        desk.import_from(tmp_path)
    with pytest.raises(StartupError, match="neither a folder"):
        desk.import_from(tmp_path / "nowhere")
    with pytest.raises(StartupError, match="prefix"):
        desk.import_from(tmp_path, prefix="../")


def test_a_document_keeps_the_address_of_its_file(desk: Desk, tmp_path: Path) -> None:
    """The file itself is not fetched; where it lies stays in the DocumentReference."""
    hospital.write(tmp_path / "in", SMALL)
    desk.import_from(tmp_path / "in")
    attachment = desk.resource("DocumentReference", "1")["content"][0]["attachment"]
    assert attachment == {"url": "https://x.example.org/1.pdf"}


def test_who_was_erased_is_not_brought_back(desk: Desk, tmp_path: Path) -> None:
    """The rows of a person who was erased here are refused, the person's own and those that name the person."""
    hospital.write(tmp_path / "in", SMALL)
    desk.import_from(tmp_path / "in")
    asyncio.run(erase(desk, "1"))
    assert desk.stored("Patient").keys() == {"2"}
    refused = {(result.file, result.status) for result in desk.import_from(tmp_path / "in").refusals}
    assert {("users", 410), ("user_family", 410), ("appointments", 410), ("notifications", 410)} <= refused
    for kind in ("Patient", "RelatedPerson", "Appointment", "Encounter", "CarePlan", "Communication"):
        assert "Patient/1" not in str(desk.stored(kind))
    # What the law keeps comes out of the tables as well.
    desk.export_to(tmp_path / "out")
    (payment,) = hospital.read(tmp_path / "out")["payments"]
    assert (payment["amount"], payment["appointment_id"]) == ("50.10", None)


def _account(desk: Desk, patient: str) -> dict[str, Any]:
    return next(result for result in desk.stored("oauth_users").values() if result["fhir_user"] == patient)


async def erase(desk: Desk, patient: str) -> None:
    database = await Database.connect(desk.settings.database_url or "", desk.settings.database_name)
    await erase_patient(await services_on(database, desk.settings), "http://server.test/fhir", patient)
    await database.close()
