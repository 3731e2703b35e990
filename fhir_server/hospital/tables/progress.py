"""A progress bar for each table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[int], None]


class Bars:
    """The bars of the tables so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def of(self, name: str, total: int) -> Iterator[Advance]:
        """Give what advances the bar of a table by some rows."""
        task = self._progress.add_task(name, total=total)
        yield lambda count: self._progress.advance(task, count)
        self._progress.update(task, total=total, completed=total)


@contextmanager
def bars(console: Console) -> Iterator[Bars]:
    """Show bars meanwhile."""
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
