"""Compare this server's validation with HL7's validator: `make conformance`.

    python -m tools.conformance [--into FOLDER] [--keep]

Java 17 and Maven are needed (`apt-get install openjdk-17-jdk-headless maven`); Maven fetches HAPI FHIR's packaging of
HL7's validator. The report names every case where one validator finds an error and the other none, with the reason
where it is known (`reasons`), and the run fails where it is not. `--keep` compares with what Java said last time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from fhir_server.errors import Issue
from fhir_server.r4 import values
from tools.conformance.cases import cases
from tools.conformance.ours import Judge
from tools.conformance.packages import is_definition, resources_of, unversioned
from tools.conformance.reasons import reason
from tools.fetch_test_data import EXTENSIONS, IPS

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "build" / "conformance"
PACKAGES = (IPS, EXTENSIONS)

Json = dict[str, Any]


def main() -> None:
    """Write the cases, have both validators judge them, and tell where they differ."""
    parser = argparse.ArgumentParser(description="Compare validation with HL7's validator.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="the folder; build/conformance unless told")
    parser.add_argument("--keep", action="store_true", help="take what Java said last time")
    arguments = parser.parse_args()
    folder: Path = arguments.into
    resources = dict(cases())
    output = folder / "hl7.ndjson"
    if not (arguments.keep and output.exists()):
        prepare(folder, resources)
        run_java(folder, output)
    judged = {line["file"].removesuffix(".json"): line for line in map(json.loads, output.read_text().splitlines())}
    differences = compare(resources, judged)
    report = folder / "report.md"
    report.write_text(written(len(resources), differences))
    unexplained = [each for each in differences if each[3] is None]
    print(f"{len(resources)} cases, {len(differences)} differences, {len(unexplained)} unexplained: {report}")
    sys.exit(1 if unexplained else 0)


def prepare(folder: Path, resources: dict[str, Json]) -> None:
    """Write definitions and cases as files."""
    for name in ("definitions", "cases"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    for package in PACKAGES:
        for name, resource in resources_of(package).items():
            if "/" not in name and is_definition(resource):
                (folder / "definitions" / name).write_bytes(unversioned(resource))
    for name, resource in resources.items():
        (folder / "cases" / f"{name}.json").write_bytes(values.encode(resource))


def run_java(folder: Path, output: Path) -> None:
    """Have HL7's validator judge the cases."""
    libraries, classes = folder / "lib", folder / "classes"
    if not libraries.exists():
        copying = ["mvn", "-q", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*copying, f"-DoutputDirectory={libraries}"], check=True)
    subprocess.run(["javac", "-cp", f"{libraries}/*", "-d", str(classes), str(HERE / "Validate.java")], check=True)
    judging = ["java", "-Xmx3g", "-cp", f"{classes}:{libraries}/*", "Validate"]
    subprocess.run([*judging, str(folder / "definitions"), str(folder / "cases"), str(output)], check=True)


Difference = tuple[str, str, str, str | None]
"""The case, who finds an error, what that is, and why the other does not."""


def compare(resources: dict[str, Json], judged: dict[str, Json]) -> list[Difference]:
    """Return the cases in which but one validator finds an error."""
    judge, differences = Judge(PACKAGES), []
    for name, resource in resources.items():
        ours = [each for each in judge.issues(resource) if each.severity == "error"]
        theirs = [each for each in judged[name]["messages"] if each["severity"] in ("error", "fatal")]
        if bool(ours) != bool(theirs):
            differences.append(difference(name, ours, theirs))
    return differences


def difference(name: str, ours: list[Issue], theirs: list[Json]) -> Difference:
    """Return a difference with its reason."""
    if ours:
        texts = [f"{each.expression[0]}: {each.diagnostics}" for each in ours]
        return name, "ours", " / ".join(texts[:3]), reason("ours", texts)
    texts = [f"{each['place']}: {each['id']}: {each['text']}" for each in theirs]
    return name, "HL7's", " / ".join(texts[:3]), reason("HL7's", texts)


def written(count: int, differences: list[Difference]) -> str:
    """Return the report."""
    rows = [
        f"| {name} | {who} | {what.replace('|', '/')[:500]} | {why or '**?**'} |"
        for name, who, what, why in differences
    ]
    head = f"{count} cases; in {len(differences)} of them but one validator finds an error.\n\n"
    return head + "| Case | Found by | What | Why the other does not |\n|--|--|--|--|\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
