"""The order in which the rows of a table are stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hospital.tables.checks.order import IN_A_ROW, Ordered
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import BY_NAME


def lines(rows: list[dict[str, str | None]]) -> list[Line]:
    return [Line(f"line {at}", row) for at, row in enumerate(rows, 2)]


@given(st.lists(st.none() | st.integers(0, 11), max_size=12))
def test_a_follow_up_comes_after_what_it_follows(follows: list[int | None]) -> None:
    """Every row is handed out once: after the one that it follows, or as faulty where there is no first one."""
    rows: list[dict[str, str | None]] = [
        {"id": f"{at}", "follows": None if named is None else f"{named}"} for at, named in enumerate(follows)
    ]
    ordered = Ordered(BY_NAME["appointments"], lines(rows))
    stored = [line.cells["id"] for line in ordered.free()]
    faulty = []
    for level in ordered.levels():
        for line in level:
            if line.fault:
                faulty.append(line.cells["id"])
            else:
                named = line.cells["follows"]
                assert named in stored or int(named or 0) >= len(rows)
        stored += [line.cells["id"] for line in level if not line.fault]
    assert sorted(stored + faulty, key=str) == sorted((row["id"] for row in rows), key=str)
    for row_id in faulty:
        seen, at = set[int](), int(row_id or 0)
        while at not in seen:
            seen.add(at)
            at = follows[at] if follows[at] is not None else -1  # type: ignore[assignment]
            assert 0 <= at < len(rows), "it leads to a first one"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_of_rivals_the_first_that_is_not_refused_has_the_place(payments: list[tuple[str, bool]]) -> None:
    """A row is told of the one row that has its place, and of none where all before it were refused."""
    rows: list[dict[str, str | None]] = [
        {"id": f"{at}", "appointment_id": paid} for at, (paid, _) in enumerate(payments)
    ]
    ordered = Ordered(BY_NAME["payments"], lines(rows))
    holders: dict[str, str] = {}
    _take(list(ordered.free()), payments, holders, ordered)
    for level in ordered.levels():
        for line in level:
            holder = holders.get(line.cells["appointment_id"] or "")
            assert line.rivals == ((holder,) if holder else ())
        _take(level, payments, holders, ordered)


def _take(level: list[Line], payments: list[tuple[str, bool]], holders: dict[str, str], ordered: Ordered) -> None:
    for line in level:
        row_id, place = line.cells["id"] or "", line.cells["appointment_id"] or ""
        if payments[int(row_id)][1] or place in holders:
            ordered.refused.add(row_id)
        else:
            holders[place] = row_id


def test_users_of_one_address_make_few_levels() -> None:
    """Thousands of users with one address go in a few batches, in the order of the source."""
    rows: list[dict[str, str | None]] = [{"id": f"{at}", "email": "none@example.org"} for at in range(2 * IN_A_ROW + 2)]
    ordered = Ordered(BY_NAME["users"], lines(rows))
    assert [line.cells["id"] for line in ordered.free()] == ["0"]
    levels = list(ordered.levels())
    assert [len(level) for level in levels] == [IN_A_ROW, IN_A_ROW, 1]
    assert [line.cells["id"] for level in levels for line in level] == [f"{at}" for at in range(1, 2 * IN_A_ROW + 2)]


def test_an_id_twice_is_faulty() -> None:
    """The second row of an id is handed out as faulty; both are known to be in the source."""
    ordered = Ordered(BY_NAME["clinics"], lines([{"id": "1"}, {"id": "1"}, {"id": None}]))
    assert [line.fault is not None for line in ordered.free()] == [False, True, False]
    assert list(ordered.levels()) == []
    assert ordered.has("1")
    assert not ordered.has("2")
