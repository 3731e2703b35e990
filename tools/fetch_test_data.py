"""Fetch the test data that is not in the repository: `make test-data`.

    python -m tools.fetch_test_data [--into FOLDER]

npm fetches the packages, from the registry that it is configured for; each is checked against the hash that stands
here. A package that is already in the folder is not fetched again, so without a registry it can be put there by hand.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "build" / "test-data"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm's; `integrity` as a package-lock.json has it."""

    name: str
    version: str
    integrity: str

    @property
    def file_name(self) -> str:
        """The name that `npm pack` gives the archive."""
        return f"{self.name}-{self.version}.tgz"


EXAMPLES = Package(
    "hl7.fhir.r4.examples",
    "4.0.1",
    "sha512-DXBdIZOeQaSKIgCU7w6HOC7sw/6BzylmipLkBW4f//pT+Bc94x+8LImwTdvaNThPJoOzpBzvxAzNqjeu3X/zLw==",
)
"""The official R4 examples (CC0-1.0)."""

CLIENT = Package(
    "fhirclient",
    "2.6.3",
    "sha512-CirZixcwWelbkIXxpxlNQx5+ZdJirl6F1s4y4yvA1X7hHAkr9n99aVHaMi0wX+97nATjKQ65X6NB5as/wZoJzg==",
)
"""SMART's JavaScript client (Apache-2.0), which the browser tests run unmodified."""

IPS = Package(
    "hl7.fhir.uv.ips",
    "2.0.0",
    "sha512-4PWToJ9b1FgXsm9DIvHiU6HO9Z5m75jxk0e0MXOmhFlf2m2slk/d6RoiSYIChKJlvmtJ7GbRftt7PphlwmZcbQ==",
)
"""The International Patient Summary (CC0-1.0): profiles, and documents that keep to them."""

EXTENSIONS = Package(
    "hl7.fhir.uv.extensions.r4",
    "5.3.0-ballot-tc1",
    "sha512-mhPmWj0dZvIC7JQLkqxT42/UpoIyYwFtSiIZbhX/ArfX96hR5oTqNvAUvMD+dMH45m4mGMQ19WyCZFpP1OLEbQ==",
)
"""HL7's extensions for R4 (CC0-1.0)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """An archive of Maven Central's, by its coordinates and the SHA-256 of the file."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of the archive."""
        return f"{self.name}-{self.version}.tar.gz"


KEYCLOAK = Distribution(
    "org.keycloak",
    "keycloak-quarkus-dist",
    "26.7.3",
    "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47",
)
KEYCLOAK_HOME = "keycloak-26.7.3"
"""Keycloak (Apache-2.0), with which the tests of outside identity providers sign in; needs Java 17 to run."""

GUIDES = (IPS, EXTENSIONS)

EXAMPLES_ZIP = "r4-examples.zip"
"""The examples' resources once more, in an archive whose members can be read one by one."""


def main() -> None:
    """Fetch what is missing."""
    parser = argparse.ArgumentParser(description="Fetch the test data that is not in the repository.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="the folder; build/test-data unless told")
    fetch(parser.parse_args().into)


def fetch(folder: Path) -> None:
    """Make the folder hold the packages and the examples' zip; exits with what to do where it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in (EXAMPLES, CLIENT, *GUIDES):
        if not (folder / package.file_name).exists():
            download(package, folder)
        check(folder / package.file_name, package.integrity)
    if not (folder / EXAMPLES_ZIP).exists():
        repack(folder / EXAMPLES.file_name, folder / EXAMPLES_ZIP)
    fetch_distribution(KEYCLOAK, folder)
    build_keycloak(folder)


def build_keycloak(folder: Path) -> None:
    """Unpack Keycloak and have it put itself together, which takes longer than all its starts afterwards."""
    archive, home = folder / KEYCLOAK.file_name, folder / KEYCLOAK_HOME
    if home.exists() or not archive.exists() or shutil.which("java") is None:
        return
    unfinished = folder / f"{KEYCLOAK_HOME}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    with tarfile.open(archive) as files:
        files.extractall(unfinished, filter="data")
    made = unfinished / KEYCLOAK_HOME
    command = [str(made / "bin" / "kc.sh"), "build", "--db=dev-mem", "--cache=local"]
    if subprocess.run(command, check=False, timeout=1200, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit("Keycloak cannot be built: it needs Java 17 or later")
    made.rename(home)
    unfinished.rmdir()


def fetch_distribution(distribution: Distribution, folder: Path) -> None:
    """Have Maven put the archive into the folder; without Maven the tests that need it are skipped, or fail in CI."""
    archive, maven = folder / distribution.file_name, shutil.which("mvn")
    if not archive.exists():
        if maven is None:
            print(f"mvn is missing (apt-get install maven): the tests that need {archive.name} are left out")
            return
        named = f"{distribution.group}:{distribution.name}:{distribution.version}:tar.gz"
        command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={named}", f"-DoutputDirectory={folder}"]
        if subprocess.run(command, check=False, timeout=1200, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(f"mvn cannot fetch {named}: see its settings.xml")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != distribution.sha256:
        archive.unlink()
        raise SystemExit(f"{archive.name} was another file than expected, and has been removed")


def download(package: Package, folder: Path) -> None:
    """Have npm put the package's archive into the folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(f"npm is missing: install it (apt-get install npm), or put {package.file_name} into {folder}")
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"]
    if subprocess.run(command, check=False, timeout=600, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"npm cannot fetch {package.name}@{package.version}: see `npm config get registry`")


def check(archive: Path, integrity: str) -> None:
    """Exit, unless the archive is what the hash says; a wrong one is removed."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != integrity:
        archive.unlink()
        raise SystemExit(f"{archive.name} was sha512-{digest} instead of {integrity}, and has been removed")


def repack(archive: Path, target: Path) -> None:
    """Write the JSON resources of an npm archive into a zip; it appears under its name when it is whole."""
    unfinished = target.with_suffix(".part")
    with (
        tarfile.open(archive) as files,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
    ):
        for member in files:
            folder, _, name = member.name.rpartition("/")
            content = files.extractfile(member) if folder == "package" and "-" in name else None
            if content is not None:
                made.writestr(name, content.read())
    unfinished.replace(target)


if __name__ == "__main__":
    main()
