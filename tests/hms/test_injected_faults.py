"""Any hospital with any faults in it: each fault is refused or noted, and every sound row arrives."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.engine.context import Services
from fhir_server.hospital.tables.batch import import_rows
from fhir_server.hospital.tables.checks.order import Ordered
from fhir_server.hospital.tables.importing import Done, Importer, Options
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import BY_NAME, TABLES
from tests.hms.hospital import Hospital, cells, hospitals

Cells = dict[str, str | None]

_UNKNOWN = [
    ("specialties", "clinic_id"), ("doctors", "clinic_id"), ("doctors", "specialty_id"), ("user_family", "user_id"),
    ("insurance", "user_id"), ("appointments", "user_id"), ("appointments", "doctor_id"), ("appointments", "clinic_id"),
    ("appointments", "specialty_id"), ("appointments", "family_member_id"), ("appointments", "insurance_coverage_id"),
    ("appointments", "follows"), ("treatment_plans", "appointment_id"), ("prescriptions", "treatment_plan_id"),
    ("lab_tests", "treatment_plan_id"), ("medical_documents", "user_id"), ("medical_documents", "appointment_id"),
    ("notifications", "user_id"), ("visit_tracking", "appointment_id"),
]  # fmt: skip
_TEXTS = st.sampled_from(["\x00", "\ud800", "soon", "NaN", "1e999", "-1", "javascript:alert(1)", "0000-00-00"])


@st.composite
def faults(draw: st.DrawFn) -> tuple[str, Cells]:
    """Return a table and cells that make a sound row of it faulty, or at least odd."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        table, column = draw(st.sampled_from(_UNKNOWN))
        return table, {column: draw(st.sampled_from(["nowhere", "999999", "é", "'; DROP TABLE users"]))}
    if kind == 1:
        return "clinics", draw(
            st.sampled_from([{"latitude": "90.0001", "longitude": "0"}, {"latitude": "0", "longitude": "-181"},
                             {"timezone": "Mars/Base"}, {"latitude": "1", "longitude": None}])
        )  # fmt: skip
    if kind == 2:
        column = draw(st.sampled_from(["created_at", "updated_at", "deleted_at"]))
        return draw(st.sampled_from(TABLES)).name, {column: draw(_TEXTS)}
    if kind == 3:
        amount = draw(st.sampled_from(["-1", "-0.01", "NaN", "much", "1.2345"]))
        return draw(
            st.sampled_from([("payments", {"amount": amount, "status": "failed"}),
                             ("specialties", {"fee_amount": amount, "fee_currency": "EUR"})])
        )  # fmt: skip
    return draw(
        st.sampled_from([
            ("users", {"password_hash": "hunter2"}), ("users", {"timezone": "Mars/Base"}),
            ("users", {"status": "dead"}),
            ("users", {"profile_picture": "javascript:1"}), ("users", {"date_of_birth": "2999-12-31"}),
            ("medical_documents", {"file_url": "JAVASCRIPT:1"}), ("medical_documents", {"document_type": "novel"}),
            ("insurance", {"valid_from": "2021-01-01", "valid_until": "2020-01-01"}),
            ("visit_tracking", {"check_in_time": "2024-01-02T00:00:00Z", "check_out_time": "2024-01-01T00:00:00Z"}),
            ("doctors", {"experience_years": "-3"}), ("notifications", {"is_read": "perhaps"}),
        ])
    )  # fmt: skip


async def imported(importer: Importer, tables: Mapping[str, list[Cells]]) -> dict[str, Done]:
    """Import tables as the command does, in this process."""
    done: dict[str, Done] = {}
    for table in TABLES:
        ordered = Ordered(table, [Line(f"{row['id']}", row) for row in tables[table.name]])
        some = done[table.name] = await import_rows(importer, table, list(ordered.free()))
        ordered.refused |= some.refused
        for level in ordered.levels():
            more = await import_rows(importer, table, level)
            ordered.refused |= more.refused
            some.refusals += more.refusals
            some.notes += more.notes
            some.counts += more.counts
    return done


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(hospital=hospitals(), injected=st.lists(faults(), min_size=1, max_size=8))
async def test_every_fault_is_told_and_every_sound_row_arrives(
    shared: Services, hospital: Hospital, injected: list[tuple[str, Cells]]
) -> None:
    """Faulty rows among sound ones are each refused or noted by id; the sound ones are stored, and stay so again."""
    prefix = f"{uuid.uuid4().hex[:8]}-"
    importer = Importer(shared, Options(prefix))
    tables: Any = {name: list({row["id"]: row for row in reversed(rows)}.values())
                   for name, rows in cells(hospital).items()}  # fmt: skip
    faulty = []
    for number, (table, columns) in enumerate(injected):
        row = tables[table][0] | {"deleted_at": None} | columns | {"id": f"faulty-{number}"}
        tables[table].append(row)
        faulty.append((table, row["id"]))
    done = await imported(importer, tables)
    for table, row_id in faulty:
        values = {result.place for result in (*done[table].refusals, *done[table].notes)}
        assert row_id in values, (table, row_id)
    for name, rows in tables.items():
        refused = {result.place for result in done[name].refusals}
        assert refused <= {row_id for table, row_id in faulty if table == name}, done[name].refusals
        kept = [f"{prefix}{row['id']}" for row in rows if row["id"] not in refused]
        assert set(await shared.resources.read_many(BY_NAME[name].type, kept)) == set(kept)
    again = await imported(importer, tables)
    assert {outcome for some in again.values() for _, outcome in some.counts} <= {"unchanged"}
    for name, some in again.items():
        assert {result.place for result in some.refusals} == {result.place for result in done[name].refusals}
