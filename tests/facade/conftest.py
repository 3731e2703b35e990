"""Makes the fixtures of the facade's tests known."""

from tests.facade_server import hospital

__all__ = ["hospital"]
