"""The course of a load: files to parts, parts to worker processes, once more what was refused, and the report."""

from __future__ import annotations

import os
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fhir_server.engine.loading.loading import RETRIED, Loaded, Refusal
from fhir_server.engine.loading.parts import Part
from fhir_server.load.files import find_files, parts
from fhir_server.load.report import Summary, show, write_refusals
from fhir_server.load.state import DatabaseState, FileState, State
from fhir_server.load.worker import load_part, start
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url

_Waiting = dict[tuple[str, str], Loaded]
"""Parts with something refused that a later try may take, by file and key."""

_AHEAD = 2
"""Parts for each worker that are read before they are needed."""


def load(
    paths: Iterable[Path],
    settings: Settings,
    *,
    base_url: str | None = None,
    workers: int | None = None,
    refused: Path = Path("refused.jsonl"),
    state: Path = Path("loaded.tsv"),
    console: Console | None = None,
) -> Summary:
    """Load the files into the settings' database, or into the server at `base_url`; returns what became of them.

    What was loaded before is skipped: the database remembers it, for a server at `base_url` the file `state` does.
    """
    console = console or Console()
    files = find_files(paths)
    workers = workers or os.cpu_count() or 1
    if base_url is not None:
        summary = _run(files, settings, workers, FileState(state, base_url), console, base_url=base_url)
    else:
        with database_url(settings) as url:
            connected = settings.model_copy(update={"database_url": url})
            summary = _run(files, connected, workers, DatabaseState(connected), console)
    if summary.refusals:
        write_refusals(refused, summary.refusals)
    show(console, summary, refused)
    return summary


def _run(
    files: Sequence[Path],
    settings: Settings,
    workers: int,
    state: State,
    console: Console,
    *,
    base_url: str | None = None,
) -> Summary:
    started = time.monotonic()
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=start, initargs=(settings, base_url))
    with pool, _progress(console) as progress:
        task = progress.add_task("Loading", total=sum(file.stat().st_size for file in files), resources=0)
        course = _Course(pool, workers, state, progress, task)
        try:
            course.run(files)
        except BrokenProcessPool as error:
            raise StartupError("A process that was loading has ended. Run the command again: it goes on.") from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    course.summary.seconds = time.monotonic() - started
    return course.summary


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[resources]:,} resources"),
        TimeElapsedColumn(),
        console=console,
    )


class _Course:
    """A load in progress."""

    def __init__(self, pool: ProcessPoolExecutor, workers: int, state: State, progress: Progress, task: TaskID) -> None:
        self.summary = Summary()
        self._pool = pool
        self._limit = workers * _AHEAD
        self._state = state
        self._progress = progress
        self._task = task
        self._loaded: defaultdict[str, set[str]] = defaultdict(set)
        for key in state.recall():
            self._remember(key)

    def run(self, files: Sequence[Path]) -> None:
        """Load the files; then what may have been refused for want of something loaded later, while that helps."""
        waiting = self._load(self._parts(files))
        helped = True
        while waiting and helped:
            self._progress.update(self._task, description="Once more")
            again = self._load(_parts_again(waiting))
            helped = _refused(again) < _refused(waiting)
            waiting = again
        for loaded in waiting.values():
            self.summary.refusals += loaded.refusals

    def _parts(self, files: Sequence[Path]) -> Iterator[Part]:
        for file in files:
            read = new = 0
            try:
                for part in parts(file):
                    read += 1
                    if part.key in self._loaded.get(part.key, ()):
                        self._progress.advance(self._task, part.size)
                    else:
                        new += 1
                        yield part
            except (OSError, EOFError, zlib.error) as error:
                new += 1
                self.summary.refusals.append(_unreadable(file, error))
            self.summary.skipped_files += read > 0 and new == 0

    def _load(self, todo: Iterable[Part]) -> _Waiting:
        """Load the parts; returns those that are worth another try."""
        waiting: _Waiting = {}
        running: dict[Future[Loaded], Part] = {}
        for part in todo:
            if len(running) >= self._limit:
                self._collect(running, waiting)
            loaded = frozenset(self._loaded.get(part.key, ()))
            running[self._pool.submit(load_part, part, loaded)] = part
        while running:
            self._collect(running, waiting)
        return waiting

    def _collect(self, running: dict[Future[Loaded], Part], waiting: _Waiting) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            part = running.pop(future)
            loaded = future.result()
            self._state.add(loaded.keys)
            for key in loaded.keys:
                self._remember(key)
            self.summary.counts += loaded.counts
            if any(refusal.status in RETRIED for refusal in loaded.refusals):
                waiting[part.source, part.key] = loaded
            else:
                self.summary.refusals += loaded.refusals
            self._progress.update(self._task, advance=part.size, resources=self.summary.resources)

    def _remember(self, key: str) -> None:
        self._loaded[key.partition("/")[0]].add(key)


def _parts_again(waiting: _Waiting) -> Iterator[Part]:
    for source in {source: None for source, _ in waiting}:
        for part in parts(Path(source)):
            if (source, part.key) in waiting:
                # The progress bar has counted it.
                yield replace(part, size=0)


def _refused(waiting: _Waiting) -> int:
    return sum(len(loaded.refusals) for loaded in waiting.values())


def _unreadable(file: Path, error: Exception) -> Refusal:
    issue = {"severity": "fatal", "code": "structure", "diagnostics": f"The file cannot be read: {error}"}
    return Refusal(str(file), "", (), 400, [issue])
