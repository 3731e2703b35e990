"""Answers that nobody reads take no more memory than the setting says, whoever has asked for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.http.connections import UnreadAnswers

MOST = 1000


@dataclass(eq=False)
class Client:
    """A client with an answer to read."""

    size: int
    closed: bool = field(default=False)

    def unread(self) -> int:
        return self.size

    def give_up(self) -> None:
        self.closed, self.size = True, 0


def test_who_has_read_nothing_for_longest_gives_way() -> None:
    """Not who reads on, however slowly, nor who has just begun."""
    answers = UnreadAnswers()
    idle, slow, new = Client(500), Client(400), Client(300)
    answers.add(idle, MOST)
    answers.add(slow, MOST)
    slow.size -= 1
    answers.add(new, MOST)
    assert (idle.closed, slow.closed, new.closed) == (True, False, False)


def test_who_has_read_all_counts_no_more() -> None:
    """Nobody gives way for what was read."""
    answers, clients = UnreadAnswers(), [Client(600) for _ in range(10)]
    for client in clients:
        answers.add(client, MOST)
        answers.remove(client)
    assert not any(client.closed for client in clients)


def test_one_large_answer_is_sent() -> None:
    """An answer beyond the limit is its client's alone: others give way, and it stays."""
    answers, other, large = UnreadAnswers(), Client(10), Client(5000)
    answers.add(other, MOST)
    answers.add(large, MOST)
    assert (other.closed, large.closed) == (True, False)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900)), max_size=60))
def test_there_is_never_more(steps: list[tuple[int, int]]) -> None:
    """After each step what is unread is within the limit; each client reads, begins an answer, or does nothing."""
    answers, clients = UnreadAnswers(), [Client(0) for _ in range(10)]
    for at, size in steps:
        client = clients[at] = clients[at] if not clients[at].closed else Client(0)
        if size < client.size:
            client.size = size
        else:
            client.size = size
            answers.add(client, MOST)
        assert sum(each.size for each in clients) <= MOST
