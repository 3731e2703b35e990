"""A backup as files: a folder with one compressed file of BSON for each collection, and a manifest that names them all.

A backup that is being made has another name, and gets its own when all of it is on the disk: so one that was broken off
never looks like one. Folder and files are their owner's alone, since they hold what the database does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import zstandard

from fhir_server.store.database.data_directory import StartupError

FORMAT = 1
LAYOUT = 1
"""Of the database: a server restores only what it can read."""
_PREFIX = "fhir-"
_PARTIAL = ".partial"
_MANIFEST = "manifest.json"
_TIME = "%Y%m%dT%H%M%S.%fZ"
_LEVEL = 3
_CHUNK = 1024 * 1024
_LEAST_DOCUMENT = 5
_LARGEST_DOCUMENT = 17 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """A file of a backup: its name, size and hash on the disk, and the size and hash of what it holds."""

    name: str
    size: int
    sha256: str
    content_size: int
    content_sha256: str
    documents: int = 0


@dataclass(frozen=True, slots=True)
class CollectionFile:
    """A collection: the file of its documents, its options and indexes as MongoDB's extended JSON."""

    name: str
    file: File
    options: str
    indexes: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, and of when; `cluster_time` is MongoDB's own, seconds and count."""

    moment: str
    cluster_time: tuple[int, int]
    database: str
    mongodb: str
    server: str
    collections: tuple[CollectionFile, ...]
    files: tuple[File, ...] = ()
    format: int = FORMAT
    layout: int = LAYOUT
    finished: str = ""

    @property
    def documents(self) -> int:
        """How many documents there are of all collections."""
        return sum(each.file.documents for each in self.collections)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(each.size for each in self.every_file())

    def every_file(self) -> tuple[File, ...]:
        """Return all files."""
        return (*(each.file for each in self.collections), *self.files)


class Damaged(StartupError):
    """A backup is not whole; the text says in what."""


# --- Writing --------------------------------------------------------------------------------------------------------


@contextmanager
def new_backup(target: Path, moment: datetime) -> Iterator[Path]:
    """Give the folder to write a backup into; it becomes one below the target when the block ends without an error.

    What others left unfinished there is removed. Raises StartupError where the target cannot be written.
    """
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in target.glob(f".{_PREFIX}*{_PARTIAL}"):
            shutil.rmtree(left)
        folder = target / f".{_PREFIX}{moment.strftime(_TIME)}{_PARTIAL}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StartupError(f"A backup cannot be written below {target}: {error.strerror}.") from error
    try:
        yield folder
        _synced(folder)
        folder.rename(target / f"{_PREFIX}{moment.strftime(_TIME)}")
        _synced(target)
    except OSError as error:
        raise StartupError(f"The backup could not be written: {error.strerror}. Nothing of it is left.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Sink:
    """A file of a backup being written: `write` takes what it shall hold, `close` returns what became of it."""

    folder: Path
    name: str
    documents: int = 0
    _content: Any = field(default_factory=hashlib.sha256)
    _stored: Any = field(default_factory=hashlib.sha256)
    _sizes: list[int] = field(default_factory=lambda: [0, 0])
    _compressor: Any = field(default_factory=lambda: zstandard.ZstdCompressor(level=_LEVEL).compressobj())
    _descriptor: int = -1

    def write(self, content: bytes, documents: int = 0) -> None:
        """Add to the file."""
        self._content.update(content)
        self._sizes[0] += len(content)
        self.documents += documents
        self._store(self._compressor.compress(content))

    def close(self) -> File:
        """End the file, and return what it is once it is on the disk."""
        self._store(self._compressor.flush())
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        content_size, size = self._sizes
        return File(self.name, size, self._stored.hexdigest(), content_size, self._content.hexdigest(), self.documents)

    def _store(self, data: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.folder / self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._stored.update(data)
        self._sizes[1] += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


def file_name(collection: str) -> str:
    """Return the name of the file of a collection."""
    return f"{quote(collection, safe='')}.bson.zst"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write down what the folder holds, with a checksum over it."""
    body = asdict(manifest)
    text = json.dumps({"checksum": _checksum(body), **body}, indent=1)
    descriptor = os.open(folder / _MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


# --- Reading --------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Manifest:
    """Return what a backup holds; raises Damaged where that cannot be read, or a newer server made it."""
    try:
        body = json.loads((folder / _MANIFEST).read_text())
        checksum = body.pop("checksum")
        # Through JSON once more: tuples were written as lists.
        if checksum != _checksum(body):
            raise Damaged(f"{folder / _MANIFEST} has been changed or is damaged.")
        if body["format"] > FORMAT or body["layout"] > LAYOUT:
            raise Damaged(f"{folder} was made by a newer server ({body['server']}); use that one.")
        body["collections"] = tuple(
            CollectionFile(**{**each, "file": File(**each["file"])}) for each in body["collections"]
        )
        body["files"] = tuple(File(**each) for each in body["files"])
        body["cluster_time"] = tuple(body["cluster_time"])
        return Manifest(**body)
    except OSError as error:
        raise Damaged(f"{folder} is not a backup: {_MANIFEST} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{folder} is not a backup: {_MANIFEST} cannot be understood.") from error


def verify(folder: Path) -> Manifest:
    """Return what a backup holds, having read all of it; raises Damaged naming what is missing or not as it was."""
    if folder.name.endswith(_PARTIAL):
        raise Damaged(f"{folder} was never finished.")
    manifest = read_manifest(folder)
    expected = {each.name for each in manifest.every_file()} | {_MANIFEST}
    if odd := sorted({path.name for path in folder.iterdir()} ^ expected):
        raise Damaged(f"{folder} has missing or extra files: {', '.join(odd[:5])}.")
    for collection in manifest.collections:
        documents = sum(len(chunk) for chunk in documents_of(folder, collection.file))
        if documents != collection.file.documents:
            raise Damaged(f"{folder / collection.file.name} holds {documents} documents.")
    for file in manifest.files:
        for _ in content_of(folder, file):
            pass
    return manifest


def content_of(folder: Path, file: File) -> Iterator[bytes]:
    """Yield what a file holds; raises Damaged, at the end at the latest, unless that is what was written."""
    stored, content, size = hashlib.sha256(), hashlib.sha256(), 0
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    try:
        with open(folder / file.name, "rb") as opened:
            while data := opened.read(_CHUNK):
                stored.update(data)
                chunk = decompressor.decompress(data)
                content.update(chunk)
                size += len(chunk)
                if size > file.content_size:
                    break
                yield chunk
    except (OSError, zstandard.ZstdError) as error:
        raise Damaged(f"{folder / file.name} cannot be read.") from error
    if (stored.hexdigest(), content.hexdigest(), size) != (file.sha256, file.content_sha256, file.content_size):
        raise Damaged(f"{folder / file.name} is not what was written.")


def documents_of(folder: Path, file: File) -> Iterator[list[bytes]]:
    """Yield the documents of a file, each as its BSON, some at a time; raises Damaged."""
    rest = b""
    for chunk in content_of(folder, file):
        data = rest + chunk
        start, documents = 0, []
        while len(data) - start >= 4:
            length = int.from_bytes(data[start : start + 4], "little")
            if not _LEAST_DOCUMENT <= length <= _LARGEST_DOCUMENT:
                raise Damaged(f"{folder / file.name} holds no documents.")
            if len(data) - start < length:
                break
            documents.append(data[start : start + length])
            start += length
        rest = data[start:]
        if documents:
            yield documents
    if rest:
        raise Damaged(f"{folder / file.name} ends in the middle of a document.")


def backups_of(target: Path) -> dict[datetime, Path]:
    """Return the backups below a folder by their moments, the oldest first; what else is there is left alone."""
    backups = {}
    for path in sorted(target.glob(f"{_PREFIX}*")):
        try:
            moment = datetime.strptime(path.name.removeprefix(_PREFIX), _TIME).replace(tzinfo=UTC)
        except ValueError:
            continue
        if (path / _MANIFEST).is_file():
            backups[moment] = path
    return backups
