"""What the import reads of a folder of files: only plain files below it, whatever a row says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.hospital.tables.files import FileFolder, Unreachable
from mappings.records.file_types import UNKNOWN, file_type


@pytest.fixture
def folder(tmp_path: Path) -> FileFolder:
    inside = tmp_path / "files"
    (inside / "a b").mkdir(parents=True)
    (inside / "a b" / "ü.pdf").write_bytes(b"%PDF-1")
    (inside / "large").write_bytes(b"x" * 11)
    (inside / "empty").touch()
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "within").symlink_to(inside / "a b" / "ü.pdf")
    (inside / "up").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe")
    return FileFolder(inside, 10)


@pytest.mark.parametrize(
    "url",
    ["a b/ü.pdf", "/a b/ü.pdf", "./a b//ü.pdf", "https://h.example.org/a%20b/%C3%BC.pdf?x=1#y", "s3://x/a b/ü.pdf"],
)
def test_a_file_is_found_by_path_and_by_url(folder: FileFolder, url: str) -> None:
    """A path is one below the folder, with or without a slash before it; of a URL its path counts."""
    assert folder.read(url) == b"%PDF-1"
    assert folder.look(url).size == 6


@pytest.mark.parametrize(
    "url",
    ["../secret", "a b/../../secret", "link", "within", "up/secret", "a b", "", "/", ".", "..", "pipe", "empty",
     "large", "nowhere", "x" * 300, "a\x00b", "\udcff", "a b/ü.pdf/x", "https://[x/secret", "https://h/%2e%2e/secret",
     "https://h/..%2fsecret", "file:///etc/passwd"],
)  # fmt: skip
def test_nothing_else_is_read(folder: FileFolder, url: str) -> None:
    """Dots, links, folders, pipes, what is empty or too large: none is read, and the reason tells no path."""
    with pytest.raises(Unreachable) as refused:
        folder.read(url)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=30))
def test_no_text_is_a_fault(tmp_path_factory: pytest.TempPathFactory, url: str) -> None:
    """Any text means a file in the folder or none; here there is none."""
    with pytest.raises(Unreachable):
        FileFolder(tmp_path_factory.getbasetemp() / "..", 10).read(f"none-of-these/{url}")


def test_a_file_is_what_its_bytes_are() -> None:
    """The beginning of a file counts, the name only where texts begin with nothing in particular."""
    assert file_type(b"%PDF-1.4", "a.png") == "application/pdf"
    assert file_type(b"\x89PNG\r\n\x1a\n", "a.pdf") == "image/png"
    assert file_type(b"<html><script>", "a.pdf") == UNKNOWN
    assert file_type(b"<html><script>", "a.html") == UNKNOWN
    assert file_type(b"1,2", "A.CSV") == "text/csv"
    assert file_type(b"MZ\x00", "a.txt") == UNKNOWN
    assert file_type(b"RIFF....WEBPVP8", "a") == "image/webp"
    assert file_type(b"\x00" * 128 + b"DICM", "a") == "application/dicom"
