"""Reading packages from archives and folders, hostile ones among them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.packages.archive import Limits, integrity_of, open_package, package_of
from fhir_server.packages.contents import read_contents
from fhir_server.packages.faults import PackageError
from tests.unit.packages.archives import archive, manifest, packed, plain, tgz, value_set


def test_the_resources_of_a_package_are_those_right_in_its_folder() -> None:
    """Examples, what describes the package, and files of other kinds are not."""
    files = {
        "package/.index.json": b"{}",
        "package/example/Patient-1.json": b"{}",
        "package/other/spec.internals": b"",
        "package/readme.md": b"",
        "other/ValueSet-x.json": b"{}",
    }
    package = package_of(archive(manifest(), value_set("a"), value_set("b"), files=files), "test")
    assert [name for name, _ in package.resources()] == ["ValueSet-a.json", "ValueSet-b.json"]
    assert package.manifest.id == "test.one#1.0.0"
    assert package.integrity is not None


def test_a_folder_is_read_as_the_archive_is(tmp_path: Path) -> None:
    """With the folder `package` in it, or being that itself."""
    inner = tmp_path / "package"
    inner.mkdir()
    (inner / "package.json").write_text(json.dumps(manifest()))
    (inner / "ValueSet-a.json").write_text(json.dumps(value_set("a")))
    for folder in (tmp_path, inner):
        package = open_package(folder)
        assert [name for name, _ in package.resources()] == ["ValueSet-a.json"]
        assert package.integrity is None


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    """Its integrity is npm's hash of it."""
    content = archive(manifest(), value_set("a"))
    (tmp_path / "one.tgz").write_bytes(content)
    assert open_package(tmp_path / "one.tgz").integrity == integrity_of(content)
    with pytest.raises(PackageError, match="cannot be read"):
        open_package(tmp_path / "two.tgz")


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil.json", "package/../../evil.json", "package\\..\\evil.json", "package/..\\x.json"],
)
def test_a_path_that_leads_out_of_the_archive_is_refused(name: str) -> None:
    """Wherever it stands, and though nothing is ever written to the disk."""
    with pytest.raises(PackageError, match="leads elsewhere"):
        package_of(archive(manifest(), files={name: b"{}"}), "test")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    """Links and devices have no place in a package."""
    member = tarfile.TarInfo("package/link.json")
    member.type, member.linkname = kind, "/etc/passwd"
    described = json.dumps(manifest()).encode()
    with pytest.raises(PackageError, match="not a plain file"):
        package_of(packed([(plain("package/package.json", len(described)), described), (member, b"")]), "test")


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    """It would read another file of the machine."""
    (tmp_path / "package.json").write_text(json.dumps(manifest()))
    (tmp_path / "ValueSet-a.json").symlink_to(tmp_path / "package.json")
    with pytest.raises(PackageError, match="is a link"):
        list(open_package(tmp_path).resources())


def test_limits_hold_for_files_their_size_and_their_number(tmp_path: Path) -> None:
    """Packed small or not: what it is unpacked counts."""
    large = {"package/a.json": b" " * 50_000, "package/b.json": b" " * 50_000}
    content = archive(manifest(), files=large)
    assert len(content) < 1000
    for limits in (Limits(file=40_000), Limits(unpacked=90_000), Limits(files=2)):
        with pytest.raises(PackageError):
            package_of(content, "test", limits)
    (tmp_path / "one.tgz").write_bytes(content)
    with pytest.raises(PackageError, match="larger"):
        open_package(tmp_path / "one.tgz", Limits(packed=100))


def test_padding_without_files_ends_at_the_limit() -> None:
    """A bomb need not have a file: what is behind the last one, and before the first, is bounded, too."""
    bomb = gzip.compress(b"\0" * 30_000_000)
    with pytest.raises(PackageError):
        package_of(bomb, "test", Limits(unpacked=1_000_000, files=10))


def test_a_bomb_is_known_by_how_small_it_is_packed() -> None:
    """No JSON shrinks to a hundredth; what does is refused before it is as large as the largest package may be."""
    with pytest.raises(PackageError, match="too large unpacked"):
        package_of(archive(manifest(), files={"package/a.json": b" " * 40_000_000}), "test")


def _with_header(kind: bytes, content: bytes, name: str = "././@Header") -> bytes:
    """Return an archive in which a header of that kind comes before the package.json."""
    header, described = plain(name, len(content)), json.dumps(manifest()).encode()
    header.type = kind
    return packed([(header, content), (plain("package/package.json", len(described)), described)])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_as_large_as_a_file_is_refused(kind: bytes) -> None:
    """It is no file, so no limit of files would hold it, and it is kept in memory whole."""
    with pytest.raises(PackageError, match="header"):
        package_of(_with_header(kind, b"1" * 300_000), "test")


@pytest.mark.parametrize(
    "fields",
    [{"size": "-5"}, {"size": "9" * 20}, {"path": "../x"}, {"GNU.sparse.size": "9", "GNU.sparse.map": "0,9"}],
    ids=["a negative size", "a large size", "a path", "sparse"],
)  # fmt: skip
def test_a_header_does_not_get_round_the_rules(fields: dict[str, str]) -> None:
    """What an extended header says of a file holds, and is looked at like what the file's own says."""
    described = json.dumps(manifest()).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(plain("package/package.json", len(described)), io.BytesIO(described))
        member = plain("package/a.json", 9)
        member.pax_headers = fields
        tar.addfile(member, io.BytesIO(b"123456789"))
    with pytest.raises(PackageError):
        package_of(gzip.compress(buffer.getvalue(), mtime=0), "test")


def test_a_package_of_many_values_is_not_taken_into_memory() -> None:
    """A value of three bytes takes a hundred as an object: they are counted before any is made."""
    content = archive(manifest(), files={"package/a.json": b"[" + b"{}," * 3000 + b"{}]"})
    with pytest.raises(PackageError, match="more values"):
        read_contents(package_of(content, "test"), most_values=5000)
    assert read_contents(package_of(content, "test"), most_values=7000).left_out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no archive", mtime=0),
        archive(manifest(), value_set("a"))[:-40],
        tgz({"a": b""}),
    ],
    ids=["empty", "text", "packed text", "cut off", "without a package.json"],
)
def test_what_is_no_package_is_told_so(content: bytes) -> None:
    """Empty, cut off, of another kind, or without a package.json."""
    with pytest.raises(PackageError):
        list(package_of(content, "test").resources())


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=400))
def test_a_damaged_archive_is_refused_or_read(noise: bytes, place: int) -> None:
    """Whatever bytes it has, nothing but a PackageError comes of it."""
    content = bytearray(archive(manifest(), value_set("a")))
    content[place : place + len(noise)] = noise
    with contextlib.suppress(PackageError):
        list(package_of(bytes(content), "test").resources())


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (b"no json", "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (json.dumps(manifest(name="../evil")).encode(), "name"),
        (json.dumps(manifest(version="latest")).encode(), "version"),
        (json.dumps(manifest(fhirVersions=["5.0.0"])).encode(), "FHIR 5.0.0"),
        (json.dumps(manifest(fhirVersions=["4.3.0"])).encode(), "FHIR 4.3.0"),
        (json.dumps(manifest(fhirVersions=None)).encode(), "which version"),
        (json.dumps(manifest(dependencies=["x"])).encode(), "dependencies"),
        (json.dumps(manifest(dependencies={"x": 1})).encode(), "dependency"),
    ],
)
def test_a_package_json_says_what_the_package_is(described: bytes, text: str) -> None:
    """Name, version, the version of FHIR, and dependencies; a guide for another FHIR is refused by name."""
    with pytest.raises(PackageError, match=text):
        package_of(tgz({"package/package.json": described}), "test")


def test_older_forms_of_a_package_json_are_read() -> None:
    """The version of FHIR was stated under other names, and as a dependency on the core package."""
    for more in ({"fhir-version-list": ["4.0.1"]}, {"dependencies": {"hl7.fhir.r4.core": "4.0.1"}}):
        package = package_of(archive({"name": "test.old", "version": "0.1.0", **more}), "test")
        assert package.manifest.name == "test.old"


def test_the_whole_is_looked_over_before_anything_is_used() -> None:
    """A fault at the end of an archive is found when it is opened."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        described = json.dumps(manifest()).encode()
        tar.addfile(plain("package/package.json", len(described)), io.BytesIO(described))
        tar.addfile(plain("package/../../late.json", 2), io.BytesIO(b"{}"))
    with pytest.raises(PackageError, match="leads elsewhere"):
        package_of(gzip.compress(buffer.getvalue()), "test")
