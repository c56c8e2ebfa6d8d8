"""A terminal for the tests of the commands."""

import pytest

from tests.terminal import Terminal


@pytest.fixture
def terminal(valkey_url: str) -> Terminal:
    """`room-server` on an empty server."""
    return Terminal(valkey_url)
