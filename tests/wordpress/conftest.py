"""A WordPress with the plugin, and a room server for it to talk to."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.wordpress.server import RoomServer, room_server
from tests.wordpress.site import Database, WordPress, as_new, database, served


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Database]:
    """A database server in which WordPress is installed; started when first asked for."""
    with database() as running:
        yield running


@pytest.fixture
async def server() -> AsyncIterator[RoomServer]:
    """What the plugin takes for a room server."""
    async with room_server() as running:
        yield running


@pytest.fixture(scope="session")
def shared(mariadb: Database) -> Iterator[WordPress]:
    """A WordPress that serves all tests of this process, one after the other."""
    with served(mariadb, "shared") as running:
        yield running


@pytest.fixture
async def site(mariadb: Database, shared: WordPress, server: RoomServer) -> AsyncIterator[WordPress]:
    """A new WordPress with the plugin, set up for that server."""
    async with as_new(shared, mariadb, server.constants()) as running:
        yield running
