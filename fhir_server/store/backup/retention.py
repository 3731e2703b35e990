"""Which backups are kept: of the last days, weeks and months one each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fhir_server.store.backup.archive import backups_of


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days, weeks and months keep their last backup; days without one do not count."""

    daily: int = 7
    weekly: int = 4
    monthly: int = 12

    def kept(self, moments: Iterable[datetime]) -> set[datetime]:
        """Return the moments whose backups are kept; the newest always is."""
        newest_first = sorted(moments, reverse=True)
        spans: list[tuple[int, Callable[[datetime], tuple[int, ...]]]] = [
            (max(1, self.daily), lambda each: (each.year, each.month, each.day)),
            (self.weekly, lambda each: tuple(each.isocalendar()[:2])),
            (self.monthly, lambda each: (each.year, each.month)),
        ]
        kept: set[datetime] = set()
        for most, span in spans:
            last: dict[tuple[int, ...], datetime] = {}
            for moment in newest_first:
                last.setdefault(span(moment), moment)
            kept.update(sorted(last.values(), reverse=True)[:most])
        return kept


def prune(target: Path, retention: Retention) -> list[Path]:
    """Remove the backups below a folder that are not kept, and return them."""
    backups = backups_of(target)
    kept = retention.kept(backups)
    removed = [path for moment, path in backups.items() if moment not in kept]
    for path in removed:
        # Another name first: one that is half removed must not look like a backup.
        gone = path.rename(path.with_name(f".{path.name}.partial"))
        shutil.rmtree(gone)
    return removed
