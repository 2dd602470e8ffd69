"""The trained tiny world is shared with the tests of the world itself."""

from world.conftest import trained

__all__ = ["trained"]
