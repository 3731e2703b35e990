"""Programs that some tests need and the project cannot bring: without one, those tests are skipped, and fail in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: object, package: str) -> None:
    """Skip the test, or fail it where the variable CI is set, unless there is a program; says how to get it."""
    if program:
        return
    message = f"{package} is missing: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def chromium() -> str:
    """Return the path of Debian's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    need(path, "chromium")
    return str(path)
