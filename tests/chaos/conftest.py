"""A Bot API and messages on their way to it."""

from tests.telegram.conftest import api, outgoing

__all__ = ["api", "outgoing"]
