"""The test data are those of the hashes, or are not taken."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.samples import fetched
from tools import fetch_test_data
from tools.fetch_test_data import Package


def test_what_is_not_as_it_was_published_is_removed(tmp_path: Path) -> None:
    """A package that somebody changed ends the run, and is not found by the next."""
    (tmp_path / fetch_test_data.EXAMPLES.file_name).write_bytes(b"something else")
    with pytest.raises(SystemExit, match="and has been removed"):
        fetch_test_data.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_machine_without_npm_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the program, and the file that can be put there instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"npm is missing.*hl7\.fhir\.r4\.examples-4\.0\.1\.tgz"):
        fetch_test_data.fetch(tmp_path)


def test_packages_that_are_there_are_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without npm, packages that were put there by hand do; the zip has the resources and nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fetch_test_data, "GUIDES", ())
    for name in ("EXAMPLES", "CLIENT"):
        content = packed(
            {"package/package.json": b"{}", "package/Patient-a.json": b"1", "package/x/Patient-b.json": b"2"}
        )
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        package = Package(name.lower(), "1.0.0", integrity)
        monkeypatch.setattr(fetch_test_data, name, package)
        (tmp_path / package.file_name).write_bytes(content)
    fetch_test_data.fetch(tmp_path)
    with zipfile.ZipFile(tmp_path / fetch_test_data.EXAMPLES_ZIP) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"Patient-a.json": b"1"}


def test_a_test_without_its_data_says_what_to_do() -> None:
    """Nothing is passed over where it is missing."""
    with pytest.raises(FileNotFoundError, match="run `make test-data`"):
        fetched("no-such-file")


def packed(members: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return archive.getvalue()
