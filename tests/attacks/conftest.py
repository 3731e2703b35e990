"""Makes the fixtures of the facade's tests known to the attacks."""

from __future__ import annotations

from tests.facade_server import hospital

__all__ = ["hospital"]
