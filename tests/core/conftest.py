"""The core is synchronous: no event loop is started for its tests."""

import pytest


@pytest.fixture(autouse=True)
def no_task_is_left() -> None:
    """There is none to leave."""
