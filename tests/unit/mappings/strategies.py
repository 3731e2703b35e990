"""Hypothesis strategies for the rows of the hospital's tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared.money import Money
from mappings.visits import visit_tracking

ZONES = ("UTC", "America/New_York", "Europe/Madrid", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns")

ids = st.from_regex(r"\A[A-Za-z0-9\-.]{1,64}\Z")
texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"], include_characters="\n\t"), min_size=1, max_size=40
).filter(str.strip)
words = st.from_regex(r"\A[A-Za-z][A-Za-z0-9 .,'\-]{0,30}[A-Za-z0-9]\Z")
urls = st.from_regex(r"\Ahttps://[a-z]{1,8}\.example\.org/[A-Za-z0-9/_%.\-]{0,30}\Z")
days = st.dates(date(1, 1, 2), date(9999, 12, 30))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28), timezones=st.just(UTC) | offsets)
amounts = st.decimals(Decimal("0.01"), Decimal("9999999.99"), places=2)
currencies = st.sampled_from(["USD", "EUR", "JPY", "MXN", "KWD"])
degrees = st.decimals(-90, 90, places=7)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


times = {"created_at": maybe(moments), "updated_at": maybe(moments), "deleted_at": maybe(moments)}

user_rows = st.builds(
    users.User,
    id=ids,
    first_name=maybe(texts),
    last_name=maybe(texts),
    email=maybe(texts),
    phone=maybe(texts),
    password_hash=maybe(words.map("$argon2id$".__add__)),
    profile_picture=maybe(urls),
    timezone=maybe(st.sampled_from(ZONES)),
    language=maybe(st.sampled_from(["en", "es", "pt-BR"])),
    status=st.sampled_from(["active", "inactive", "banned"]),
    date_of_birth=maybe(days),
    gender=maybe(st.sampled_from(["male", "female", "other", "unknown"])),
    **times,
)
family_rows = st.builds(
    user_family.FamilyMember,
    id=ids,
    user_id=maybe(ids),
    name=maybe(texts),
    relation=st.sampled_from(["spouse", "child", "parent", "other"]),
    dob=maybe(days),
    **times,
)
positions = st.none() | st.tuples(degrees, degrees)
clinic_rows = positions.flatmap(
    lambda position: st.builds(
        clinics.Clinic,
        id=ids,
        latitude=st.just(position and position[0]),
        longitude=st.just(position and position[1]),
        **{name: maybe(texts) for name in ("name", "address", "city", "state", "country", "postal_code")},
        **{name: maybe(texts) for name in ("phone", "email")},
        timezone=maybe(st.sampled_from(ZONES)),
        **times,
    )
)
specialty_rows = st.builds(
    specialties.Specialty,
    id=ids,
    clinic_id=maybe(ids),
    name=maybe(texts),
    fee=maybe(st.builds(Money, amount=amounts, currency=currencies)),
    **times,
)
doctor_rows = st.builds(
    doctors.Doctor,
    id=ids,
    name=maybe(texts),
    specialty_id=maybe(ids),
    clinic_id=maybe(ids),
    email=maybe(texts),
    phone=maybe(texts),
    experience_years=maybe(st.integers(0, 2**31 - 1)),
    photo=maybe(urls),
    **times,
)
appointment_rows = st.builds(
    appointments.Appointment,
    id=ids,
    **{f"{name}_id": maybe(ids) for name in ("user", "doctor", "clinic", "specialty", "family_member")},
    appointment_date=st.dates(date(1971, 1, 1), date(2100, 1, 1)),
    # On the days when a clock is changed it is changed before six.
    appointment_time=st.times(time(6), time(22)),
    status=st.sampled_from(["scheduled", "rescheduled", "canceled", "completed"]),
    minutes=st.integers(1, 24 * 60),
    slot_ids=st.lists(ids, max_size=2, unique=True).map(tuple),
    insurance_coverage_id=maybe(ids),
    reason=maybe(texts),
    follows=maybe(ids),
    **times,
)


@st.composite
def payment_rows(draw: st.DrawFn) -> payments.Payment:
    subject = draw(st.sampled_from([{}, {"appointment_id": draw(ids)}, {"lab_test_id": draw(ids)}]))
    return draw(
        st.builds(
            payments.Payment,
            id=ids,
            amount=amounts,
            currency=maybe(currencies),
            payment_method=maybe(st.sampled_from(["card", "insurance", "cash"])),
            status=st.sampled_from(["pending", "completed", "failed"]),
            transaction_id=maybe(texts),
            refund_status=maybe(st.sampled_from(["pending", "completed"])),
            **{name: st.just(value) for name, value in subject.items()},
            **times,
        )
    )


plan_rows = st.builds(
    treatment_plans.TreatmentPlan, id=ids, appointment_id=maybe(ids), description=maybe(texts), **times
)
prescription_rows = st.builds(
    prescriptions.Prescription,
    id=ids,
    treatment_plan_id=maybe(ids),
    medicine_name=maybe(texts),
    dosage=maybe(texts | st.sampled_from(["500mg", "1 tablet", "2,5 ml", "10 mg / 5 ml"])),
    frequency=maybe(texts | st.sampled_from(["2x daily", "every 8 hours", "3 veces al día", "bid", "at night"])),
    duration=maybe(texts | st.sampled_from(["7 days", "for 2 weeks", "10 días", "until finished"])),
    status=st.sampled_from(["active", "completed", "stopped"]),
    **times,
)
lab_rows = st.builds(
    lab_tests.LabTest,
    id=ids,
    treatment_plan_id=maybe(ids),
    test_name=maybe(texts),
    result=maybe(texts),
    status=st.sampled_from(["pending", "completed"]),
    **times,
)
document_rows = st.builds(
    medical_documents.MedicalDocument,
    id=ids,
    user_id=maybe(ids),
    appointment_id=maybe(ids),
    document_type=st.sampled_from(["lab_report", "scan", "prescription", "other"]),
    file_url=maybe(urls),
    title=maybe(texts),
    content_type=maybe(st.sampled_from(["application/pdf", "image/png"])),
    **times,
)
notification_rows = st.builds(
    notifications.Notification,
    id=ids,
    user_id=maybe(ids),
    message=texts,
    is_read=st.booleans(),
    kind=st.sampled_from(sorted(notifications.KINDS)),
    related=maybe(st.builds(notifications.Related, type=st.sampled_from(["Appointment", "Invoice"]), id=ids)),
    **times,
)
visit_rows = st.builds(
    visit_tracking.Visit,
    id=ids,
    appointment_id=maybe(ids),
    check_in_time=maybe(moments),
    check_out_time=st.none(),
    current_wait_time=maybe(st.integers(0, 2**31 - 1)),
    status=st.sampled_from(["arrived", "in_queue", "visited"]),
    **times,
)
policy_rows = st.builds(
    insurance.Policy,
    id=ids,
    user_id=maybe(ids),
    provider=maybe(texts),
    policy_number=maybe(texts),
    member_id=maybe(texts),
    valid_from=maybe(st.dates(date(1900, 1, 1), date(2020, 1, 1))),
    valid_until=maybe(st.dates(date(2020, 1, 2), date(2100, 1, 1))),
    status=st.sampled_from(["active", "cancelled", "draft"]),
    **times,
)
