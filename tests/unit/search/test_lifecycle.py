"""No search meets a resource that lacks the keys of its parameters, however workers, changes and the job interleave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from fhir_server.search.lifecycle import ACTIVE, Pass, State, Wish, agreed, doubted, finished, refused, wished, wishes

URLS = ("http://example.org/a", "http://example.org/b")


def resource(url: str, code: str, expression: str) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "url": url,
        "name": "A",
        "status": "active",
        "code": code,
        "base": ["Patient"],
        "type": "string",
        "expression": expression,
    }


MEANINGS = ("Patient.name.prefix", "Patient.name.suffix")
A, B = URLS
CHOICES = st.sampled_from([
    {A: ("x", MEANINGS[0])},
    {A: ("x", MEANINGS[1])},
    {B: ("x", MEANINGS[1])},
    {A: ("x", MEANINGS[0]), B: ("y", MEANINGS[1])},
    {},
])  # fmt: skip
Keys = dict[str, str]
"""What a resource is indexed by: the expression under each code."""


def wanted_by(choice: dict[str, tuple[str, str]]) -> dict[str, Wish]:
    return wishes([resource(url, code, expression) for url, (code, expression) in choice.items()])


@dataclass
class Worker:
    """A worker that knows a state, and may be in the middle of a write that it began knowing another."""

    known: State
    silent: bool = False
    begun: list[tuple[int, Keys]] = field(default_factory=list)

    def keys(self) -> Keys:
        return {each.wish.definition.code: each.wish.definition.expression for each in self.known.entries}

    @property
    def acknowledged(self) -> int:
        return min([self.known.revision, *(revision for revision, _ in self.begun)])


class Life(RuleBasedStateMachine):
    """Two workers that write and search, one job, and somebody who changes what is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.wanted: dict[str, Wish] = {}
        self.workers = [Worker(self.state), Worker(self.state)]
        self.stored: list[Keys] = [{}]

    @rule(choice=CHOICES)
    def somebody_changes_the_resources(self, choice: dict[str, tuple[str, str]]) -> None:
        self.wanted = wanted_by(choice)

    @rule(which=st.integers(0, 1))
    def a_worker_learns(self, which: int) -> None:
        if not self.workers[which].silent:
            self.workers[which].known = self.state

    @rule(which=st.integers(0, 1))
    def a_worker_writes(self, which: int) -> None:
        if not self.workers[which].silent:
            self.stored.append(self.workers[which].keys())

    @rule(which=st.integers(0, 1))
    def a_worker_begins_a_write(self, which: int) -> None:
        worker = self.workers[which]
        if not worker.silent:
            worker.begun.append((worker.known.revision, worker.keys()))

    @rule(which=st.integers(0, 1))
    def a_worker_ends_a_write(self, which: int) -> None:
        worker = self.workers[which]
        if worker.begun and not worker.silent:
            self.stored.append(worker.begun.pop(0)[1])

    @rule()
    def the_job_follows_what_is_wanted(self) -> None:
        self.state = wished(self.state, self.wanted)

    @rule()
    def the_job_asks_whether_all_agree(self) -> None:
        living = [worker.acknowledged for worker in self.workers if not worker.silent]
        if living:
            self.state = agreed(self.state, min(living))

    @precondition(lambda self: self.state.running and not self.workers[0].silent)
    @rule()
    def the_job_indexes_what_is_stored_and_ends(self) -> None:
        """The first worker has the job, and indexes by what it knows itself."""
        run: Pass | None = self.state.running
        if run is not None and self.workers[0].known.revision >= run.revision:
            self.stored = [self.workers[0].keys() for _ in self.stored]
            self.state = finished(replace(self.state, running=replace(run, types=(), total=1, done=1)))

    @rule(choice=CHOICES)
    def a_change_is_agreed_on_and_the_pass_begins(self, choice: dict[str, tuple[str, str]]) -> None:
        self.wanted = wanted_by(choice)
        for _ in range(3):
            self.the_job_follows_what_is_wanted()
            self.all_learn()
            self.the_job_asks_whether_all_agree()

    @rule()
    def nothing_is_left_to_do(self) -> None:
        """Those in touch end what they began, and the job comes to its end."""
        for which in (0, 1):
            while self.workers[which].begun and not self.workers[which].silent:
                self.a_worker_ends_a_write(which)
        for _ in range(4):
            self.the_job_follows_what_is_wanted()
            self.all_learn()
            self.the_job_asks_whether_all_agree()
            if not self.workers[0].silent:
                self.the_job_indexes_what_is_stored_and_ends()
        self.all_learn()

    def all_learn(self) -> None:
        for which in (0, 1):
            self.a_worker_learns(which)

    @invariant()
    def what_is_searched_is_in_every_index(self) -> None:
        """Whoever searches by a parameter finds it in the index of all that is stored, in its one meaning."""
        for worker in self.searching():
            for entry in worker.known.entries:
                if entry.phase == ACTIVE:
                    definition = entry.wish.definition
                    assert all(keys.get(definition.code) == definition.expression for keys in self.stored)

    def searching(self) -> list[Worker]:
        return self.workers


class LifeWithSilence(Life):
    """The same, but a worker may fall silent in the middle of a write, and return after others have gone on."""

    @rule(which=st.integers(0, 1))
    def a_worker_falls_silent_or_returns(self, which: int) -> None:
        worker = self.workers[which]
        if worker.silent:
            self.state = doubted(self.state, worker.acknowledged)
            worker.known = self.state
        worker.silent = not worker.silent

    def searching(self) -> list[Worker]:
        """Return the workers, once all have returned and know what was doubted."""
        calm = all(not each.silent and each.acknowledged == self.state.revision for each in self.workers)
        return self.workers if calm else []


_SETTINGS = settings(max_examples=400, stateful_step_count=30, deadline=None, derandomize=True)
TestLife = Life.TestCase
TestLife.settings = _SETTINGS
TestLifeWithSilence = LifeWithSilence.TestCase
TestLifeWithSilence.settings = _SETTINGS


def test_a_code_passes_to_another_parameter_only_when_nobody_searches_by_the_first() -> None:
    """A worker that has heard of the new owner writes nothing that one which has not would misread."""
    life = Life()
    life.somebody_changes_the_resources({A: ("x", MEANINGS[0])})
    life.nothing_is_left_to_do()
    life.somebody_changes_the_resources({B: ("x", MEANINGS[1])})
    life.the_job_follows_what_is_wanted()
    life.a_worker_learns(0)
    life.a_worker_writes(0)
    life.what_is_searched_is_in_every_index()
    life.nothing_is_left_to_do()
    assert [(each.wish.definition.url, each.phase) for each in life.state.entries] == [(B, ACTIVE)]


def test_what_a_worker_stores_after_a_silence_is_indexed_once_more() -> None:
    """A write begun before a parameter was thought of, and stored after it became active, gets its key in the end."""
    life = LifeWithSilence()
    life.a_worker_begins_a_write(1)
    life.a_worker_falls_silent_or_returns(1)
    life.somebody_changes_the_resources({A: ("x", MEANINGS[0])})
    life.nothing_is_left_to_do()
    assert [each.phase for each in life.state.entries] == [ACTIVE]
    life.a_worker_falls_silent_or_returns(1)
    life.a_worker_ends_a_write(1)
    life.nothing_is_left_to_do()
    assert [each.phase for each in life.state.entries] == [ACTIVE]
    assert life.stored == [{"x": MEANINGS[0]}] * 2


def test_a_parameter_is_searched_after_it_is_agreed_on_and_indexed() -> None:
    """writing, a pass when all know, then active; and off again: withdrawn, gone when all know."""
    expected = wanted_by({URLS[0]: ("x", MEANINGS[0])})
    state = wished(State(), expected)
    assert [(entry.phase, state.revision) for entry in state.entries] == [("writing", 1)]
    assert agreed(state, 0) is state
    state = agreed(state, 1)
    assert state.running == Pass(1, ("Patient",))
    state = finished(replace(state, running=Pass(1, (), total=2, done=2)))
    assert [entry.phase for entry in state.entries] == ["active"]
    state = wished(state, {})
    assert [entry.phase for entry in state.entries] == ["withdrawn"]
    assert agreed(state, state.revision - 1) is state
    assert agreed(state, state.revision).entries == ()


def test_a_pass_that_indexed_nothing_of_something_is_a_failure() -> None:
    """0 of N leaves the parameter out of use and says why."""
    state = agreed(wished(State(), wanted_by({URLS[0]: ("x", MEANINGS[0])})), 1)
    failed = finished(replace(state, running=Pass(1, (), total=5)))
    assert [entry.phase for entry in failed.entries] == ["writing"]
    assert "Of 5 resources" in failed.failure
    empty = finished(replace(state, running=Pass(1, ())))
    assert [entry.phase for entry in empty.entries] == ["active"]


def test_a_resource_that_cannot_be_indexed_does_not_keep_the_others_from_it() -> None:
    """The parameter is used, and the state says of how many resources it is not."""
    state = agreed(wished(State(), wanted_by({URLS[0]: ("x", MEANINGS[0])})), 1)
    after = finished(replace(state, running=Pass(1, (), total=5, done=4, failed=1)))
    assert [entry.phase for entry in after.entries] == ["active"]
    assert "1 could not be" in after.failure


def test_a_parameter_that_takes_too_much_is_refused_until_it_changes() -> None:
    """It is neither written nor searched, whatever becomes of others; its next definition begins anew."""
    expected = wanted_by({URLS[0]: ("x", MEANINGS[0])})
    state = wished(State(), expected)
    assert refused(state, {"y"}) is state
    without = refused(state, {"x"})
    assert [entry.phase for entry in without.entries] == ["refused"]
    assert without.revision == state.revision + 1
    assert refused(without, {"x"}) is without
    assert wished(without, expected) is without
    assert agreed(without, without.revision) is without
    assert doubted(without, 0) is without
    changed = wished(without, wanted_by({URLS[0]: ("x", MEANINGS[1])}))
    assert [entry.phase for entry in changed.entries] == ["writing"]
    assert wished(without, {}).entries == ()


def test_a_composite_waits_for_its_components_and_goes_with_them() -> None:
    """A composite of an added parameter is wanted only while that one is, and anew when that one changes."""
    part = resource(URLS[0], "x", MEANINGS[0])
    whole = resource(URLS[1], "y", "Patient.name") | {
        "type": "composite",
        "component": [{"definition": URLS[0], "expression": "prefix"}, {"definition": URLS[0], "expression": "suffix"}],
    }
    assert set(wishes([whole])) == set()
    both = wishes([whole, part])
    assert set(both) == set(URLS)
    assert wishes([whole, part | {"type": "token"}])[URLS[1]] != both[URLS[1]]
