"""The data and the searches of the bench of sizes."""

from __future__ import annotations

from itertools import islice

from bench.search_at_size import OBSERVATIONS, RUN, record, searches


def test_a_record_is_the_same_in_every_run() -> None:
    """Figures of two runs can be compared: the resources, and their ids, do not change."""
    assert record(7) == record(7)
    assert [entry["request"]["url"] for entry in record(7)] == [
        f"Patient/{RUN}-7",
        *(f"Observation/{RUN}-7-{index}" for index in range(OBSERVATIONS)),
    ]
    assert record(7)[1]["resource"]["subject"] == {"reference": f"Patient/{RUN}-7"}


def test_searches_differ_in_their_values_and_are_the_same_in_every_run() -> None:
    """A search whose value never changed would measure a cache."""
    first, second = ({name: list(islice(urls, 20)) for name, urls in searches(1_000).items()} for _ in range(2))
    assert first.keys() == second.keys()
    assert len(set(first["Patient identifier="])) > 10
    assert all("_count=" in url or "_summary=count" in url for urls in first.values() for url in urls)
