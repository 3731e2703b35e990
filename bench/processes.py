"""What a tree of processes uses: CPU time and resident memory, from /proc; nothing where there is no /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far and megabytes resident, of the server's own processes and of its database's."""

    server_cpu: float = 0.0
    database_cpu: float = 0.0
    server_memory: float = 0.0
    """Of the largest process."""
    database_memory: float = 0.0


@dataclass(frozen=True)
class _Process:
    parent: int
    name: str
    cpu: float
    memory: float


def usage(pid: int | None) -> Usage | None:
    """Return what the process and its descendants use; None without a pid or without /proc."""
    if pid is None or not Path("/proc/self/stat").exists():
        return None
    tree = _tree(pid)
    database = [process for process in tree if process.name.startswith("mongod")]
    server = [process for process in tree if not process.name.startswith("mongod")]
    return Usage(
        sum(process.cpu for process in server),
        sum(process.cpu for process in database),
        max((process.memory for process in server), default=0.0),
        max((process.memory for process in database), default=0.0),
    )


def _tree(root: int) -> list[_Process]:
    processes = {int(path.name): process for path in Path("/proc").glob("[0-9]*") if (process := _read(path))}
    members = {root}
    # A child may have a smaller number than its parent, so go on until nothing is added.
    while added := {pid for pid, process in processes.items() if process.parent in members} - members:
        members |= added
    return [processes[pid] for pid in members if pid in processes]


def _read(path: Path) -> _Process | None:
    try:
        text = (path / "stat").read_text()
    except OSError:
        return None  # it ended meanwhile
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return _Process(int(fields[1]), name, (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE / 1e6)
