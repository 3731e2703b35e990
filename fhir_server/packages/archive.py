"""Reading a package: an npm archive (.tgz) or a folder, file by file, with nothing written to the disk.

An archive comes from elsewhere: links, devices and paths that lead out of it are refused, and so is what is larger or
has more files than any package needs, however small it is packed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fhir_server.packages.faults import PackageError
from fhir_server.packages.manifest import Manifest, read_manifest

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a package may be: packed, unpacked, in one file, and in number of files."""

    packed: int = 256 * _MIB
    unpacked: int = 2048 * _MIB
    file: int = 64 * _MIB
    files: int = 100_000
    times: int = 100
    """How many times as large as packed it may be unpacked; JSON shrinks to a thirtieth, and no further."""
    always: int = 16 * _MIB
    """So large it may be unpacked however small it is packed."""


LIMITS = Limits()
_HEADERS = 48 * 1024
"""Bytes between the contents of two files: headers, the filling before them, and what is read ahead. A header that
names a path has a few hundred; it is kept in memory whole, so it must not be as large as a file."""


class Package:
    """A package that can be read more than once."""

    def __init__(self, source: str, manifest: Manifest, integrity: str | None) -> None:
        self.source = source
        self.manifest = manifest
        self.integrity = integrity
        """npm's hash of the archive, `sha512-...`; None for a folder."""

    def resources(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each JSON file right in the folder `package`, but of those that describe it."""
        raise NotImplementedError


def open_package(path: Path, limits: Limits = LIMITS) -> Package:
    """Return the package in a .tgz file or a folder; raises PackageError where there is none, or none that is safe."""
    if path.is_dir():
        return _Folder(path, limits)
    try:
        if path.stat().st_size > limits.packed:
            raise PackageError(f"{path.name} is larger than {limits.packed} bytes.")
        return package_of(path.read_bytes(), path.name, limits)
    except OSError as error:
        raise PackageError(f"{path} cannot be read: {error.strerror}.") from error


def package_of(content: bytes, source: str, limits: Limits = LIMITS) -> Package:
    """Return the package that the bytes of an archive are; raises PackageError."""
    return _Archive(content, source, limits)


def integrity_of(content: bytes) -> str:
    """Return npm's hash of an archive, as a package-lock.json has it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


class _Archive(Package):
    def __init__(self, content: bytes, source: str, limits: Limits) -> None:
        self._content = content
        self._limits = limits
        self._name = source
        described = None
        for path, data in self._files():  # every member is looked at before anything is used
            if path == PurePosixPath("package/package.json"):
                described = data()
        if described is None:
            raise PackageError(f"{source} is not a FHIR package: it has no package/package.json.")
        super().__init__(source, read_manifest(described), integrity_of(content))

    def resources(self) -> Iterator[tuple[str, bytes]]:
        for path, data in self._files():
            if path.parent == PurePosixPath("package") and _holds_resource(path.name):
                yield path.name, data()

    def _files(self) -> Iterator[tuple[PurePosixPath, _Read]]:
        total, number = 0, 0
        unpacking = _Unpacking(self._content, self._limits)
        try:
            with tarfile.open(mode="r|", fileobj=unpacking) as tar:
                for member in tar:
                    number += 1
                    if number > self._limits.files:
                        raise PackageError(f"{self._name} has more than {self._limits.files} files.")
                    path = _checked(member.name, self._name)
                    if member.isdir():
                        unpacking.expect(0)
                        continue
                    if not member.isfile() or member.issparse():
                        raise PackageError(f"{self._name} has {member.name[:80]!r} in it, which is not a plain file.")
                    total += member.size
                    if not 0 <= member.size <= self._limits.file or total > self._limits.unpacked:
                        raise PackageError(f"{self._name} is too large unpacked, at {member.name[:80]!r}.")
                    unpacking.expect(member.size)
                    yield path, _Read(tar, member)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, UnicodeError, ValueError, OSError) as error:
            raise PackageError(f"{self._name} is not an archive of a package (.tgz).") from error


class _Read:
    """Reads the member that the archive stands at."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._tar, self._member = tar, member

    def __call__(self) -> bytes:
        file = self._tar.extractfile(self._member)
        return b"" if file is None else file.read()


class _Unpacking(io.RawIOBase):
    """The bytes of an archive, unpacked piece by piece and no further than the limits."""

    def __init__(self, content: bytes, limits: Limits) -> None:
        super().__init__()
        self._file = gzip.GzipFile(fileobj=io.BytesIO(content))
        most = limits.unpacked + limits.files * 1024
        self._left = min(most, max(limits.always, len(content) * limits.times))
        self._until_next = _HEADERS

    def expect(self, size: int) -> None:
        """Let as many bytes be read as a file has, and the headers after it."""
        self._until_next = size + _HEADERS

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        self._until_next -= len(data)
        if self._left < 0:
            raise PackageError("The archive is too large unpacked.")
        if self._until_next < 0:
            raise PackageError("The archive has a header in it that is too large.")
        return data


def _checked(name: str, source: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in path.parts[:1]:
        raise PackageError(f"{source} has a path in it that leads elsewhere: {name[:80]!r}.")
    return path


class _Folder(Package):
    def __init__(self, folder: Path, limits: Limits) -> None:
        inner = folder / "package"
        self._folder = inner if (inner / "package.json").is_file() else folder
        self._limits = limits
        described = self._folder / "package.json"
        if not described.is_file() or described.is_symlink():
            raise PackageError(f"{folder} is not a FHIR package: it has no package.json.")
        super().__init__(str(folder), read_manifest(self._read(described)), None)

    def resources(self) -> Iterator[tuple[str, bytes]]:
        total = 0
        names = sorted(os.listdir(self._folder))
        if len(names) > self._limits.files:
            raise PackageError(f"{self._folder} has more than {self._limits.files} files.")
        for name in names:
            path = self._folder / name
            if not _holds_resource(name) or not path.is_file():
                continue
            if path.is_symlink():
                raise PackageError(f"{path} is a link; a package has plain files only.")
            data = self._read(path)
            total += len(data)
            if total > self._limits.unpacked:
                raise PackageError(f"{self._folder} is larger than {self._limits.unpacked} bytes.")
            yield name, data

    def _read(self, path: Path) -> bytes:
        try:
            if path.stat().st_size > self._limits.file:
                raise PackageError(f"{path} is larger than {self._limits.file} bytes.")
            return path.read_bytes()
        except OSError as error:
            raise PackageError(f"{path} cannot be read: {error.strerror}.") from error


_DESCRIPTIONS = frozenset({"package.json", "package-lock.json", "npm-shrinkwrap.json"})


def _holds_resource(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".") and name not in _DESCRIPTIONS
