"""What of a server stands beside the database: accesses that it has not been told yet, and the key of signing keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from fhir_server.store.work.audit_journal import SealedLine

KEY = "master.key"
JOURNAL = "audit.journal"
_FOLDER = "audit"


class _Line(msgspec.Struct, array_like=True, tag="access"):
    """The beginning of a line of the journal."""

    id: str
    milliseconds: int


_decoder: msgspec.json.Decoder[_Line | SealedLine] = msgspec.json.Decoder(_Line | SealedLine)


class SideFiles:
    """Holds the journals of the moment: the server removes each as soon as the database has been told."""

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self._data_dir = data_dir
        self._folder = folder

    def hold(self) -> None:
        """Hold the journals that there are now, besides those that are held."""
        for path in (self._data_dir / _FOLDER).glob("*.journal"):
            with suppress(FileNotFoundError, FileExistsError):  # told just now; held before
                os.link(path, self._folder / path.name)

    def contents(self, moment: datetime) -> dict[str, bytes]:
        """Return the files to keep by their names; of accesses those until the moment."""
        until = moment.timestamp() * 1000
        lines: list[bytes] = []
        for path in sorted(self._folder.glob("*.journal")):
            lines += [line for line in path.read_bytes().split(b"\n")[:-1] if _is_until(line, until)]
        files = {JOURNAL: b"".join(line + b"\n" for line in lines)} if lines else {}
        with suppress(FileNotFoundError):
            files[KEY] = (self._data_dir / KEY).read_bytes()
        return files


def _is_until(line: bytes, milliseconds: float) -> bool:
    try:
        return _decoder.decode(line).milliseconds <= milliseconds
    except msgspec.DecodeError:  # another version's: rather told than lost
        return True


@contextmanager
def held(data_dir: Path) -> Iterator[SideFiles]:
    """Give the side files of a data directory, whose journals of now are held until the block ends."""
    data_dir = data_dir.expanduser().absolute()
    if not (data_dir / _FOLDER).is_dir():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Links hold a file only on the same disk.
    folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=data_dir))
    try:
        files = SideFiles(data_dir, folder)
        files.hold()
        yield files
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_back(data_dir: Path, contents: dict[str, bytes], more: bytes = b"") -> None:
    """Write the side files where the next server finds them; `more` are lines for the journal."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if KEY in contents:
        _write(data_dir / KEY, contents[KEY])
    lines = contents.get(JOURNAL, b"") + more
    if lines:
        (data_dir / _FOLDER).mkdir(exist_ok=True, mode=0o700)
        _write(data_dir / _FOLDER / "restored.journal", lines)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
