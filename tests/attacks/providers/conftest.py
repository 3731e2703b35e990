"""The hospital and the app of the tests of providers."""

from __future__ import annotations

from tests.providers.conftest import app, hospital

__all__ = ["app", "hospital"]
