"""Look up known vulnerabilities of every locked dependency; `make audit`.

Exits 1 when one is known. Where the vulnerability data cannot be reached it says so, and exits 0: an audit that was not
made is told as one, never as passed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 300


def audit(lock: Path) -> list[dict[str, object]]:
    """Return what pip-audit knows of the lock file's packages; raises OSError where its data cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=SECONDS)
        packages: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer within {SECONDS} s") from error
    except ValueError as error:
        raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no answer") from error
    if packages and all("skip_reason" in package for package in packages):
        raise OSError(str(packages[0]["skip_reason"]))
    return packages


def main() -> int:
    """Audit both lock files; return the exit status."""
    vulnerable = 0
    for lock in (ROOT / "requirements.lock", ROOT / "requirements-dev.lock"):
        try:
            packages = audit(lock)
        except OSError as error:
            print(f"{lock.name}: NOT AUDITED, the vulnerability data cannot be reached: {error}")
            continue
        skipped = [str(package["name"]) for package in packages if "skip_reason" in package]
        known = [package for package in packages if package.get("vulns")]
        vulnerable += len(known)
        print(f"{lock.name}: {len(packages)} packages, {len(known)} with known vulnerabilities")
        if skipped:
            print(f"  not audited: {', '.join(skipped)}")
        for package in known:
            print(f"  {package['name']} {package['version']}: {package['vulns']}")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
