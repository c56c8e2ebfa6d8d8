"""Where the state's tests run: on each kind of single server, and on a Cluster with eight partitions."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis

from room_server.state.opening import State, open_state
from room_server.state.pipeline import Script
from room_server.state.store import Store
from tests.cluster import cluster, url_of
from tests.conftest import KINDS, emptied, settings_for, unbounded_keys
from tests.proxy import Proxy, proxy_to
from tests.state.acts import another, prepare
from tests.state.processes import nothing_is_left

PARTITIONS = 8


@pytest.fixture(scope="session")
def cluster_ports() -> Iterator[list[int]]:
    """The primaries of a Cluster; formed when first asked for."""
    with cluster() as ports:
        yield ports


@pytest.fixture
def cluster_url(cluster_ports: list[int]) -> Iterator[str]:
    """An empty Cluster; what the test leaves behind must be bounded."""
    for port in cluster_ports:
        with BlockingRedis(port=port) as client:
            client.flushall()
    yield url_of(cluster_ports)
    for port in cluster_ports:
        with BlockingRedis(port=port) as client:
            assert unbounded_keys(client) == []


@pytest.fixture(params=[*KINDS, "cluster"])
def any_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every kind of place that there is."""
    if request.param == "cluster":
        yield request.getfixturevalue("cluster_url")
    else:
        yield from emptied(request.getfixturevalue("servers")(request.param))


@pytest.fixture
async def any_state(any_url: str) -> AsyncIterator[State]:
    """An open state in every kind of place."""
    partitions = PARTITIONS if "cluster" in any_url else 1
    async with open_state(settings_for(any_url, partitions=partitions)) as opened:
        yield opened


@pytest.fixture
def any_store(any_state: State) -> Store:
    """The store in every kind of place."""
    return any_state.store


@pytest.fixture
async def proxy(state: State) -> AsyncIterator[Proxy]:
    """A proxy to each kind of server, on which the webinar is live and the scripts are known."""
    for name in ("commit", "load", "delete"):
        await state.store.ask("SCRIPT LOAD", Script.read(name).text)
    await prepare(state.store)
    async with proxy_to(state.url) as opened:
        yield opened


@pytest.fixture
async def far(proxy: Proxy) -> AsyncIterator[Store]:
    """The store of a process that sees Redis through the proxy only."""
    async with another(proxy.url) as store:
        yield store


@pytest.fixture
async def data(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder that does not exist yet; in the end nothing runs on it."""
    folder = tmp_path / "deep" / "data"
    yield folder
    await nothing_is_left(folder)
