"""Real servers for every test: the embedded Valkey, Debian's Redis where it is installed, uvicorn on a port of its own.

One Redis server per kind and test session, emptied for each test; after the test every key must have a time to live
or stand on the list of permanent ones.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from redis import Redis as BlockingRedis
from redis.exceptions import RedisError

from room_server.core.room import Status
from room_server.state.keys import PARTITIONS, PERMANENT
from room_server.state.redis import embedded
from room_server.state.redis.pipeline import Script
from room_server.state.startup import State, open_state
from room_server.state.store import Store
from tests.cluster import cluster, url_of
from tests.proxy import Proxy, proxy_to
from tests.state.acts import another, prepare
from tests.state.processes import nothing_is_left
from tests.support import AT, PATIENCE, Site, room, serving, settings_for

FAKED = "faketime" in os.environ.get("LD_PRELOAD", "")
"""Whether the clock is turned (tests/test_days.py): Debian's Redis cannot run so, its allocator asks for the time."""
CLUSTER_PARTITIONS = 8
"""Of the Cluster."""
MEMORY, MEMORY_BYTES = "/dev/shm", 4 << 30
"""A folder in memory, and how many bytes must be free in it to be used."""
KINDS = ["valkey", "redis"] if shutil.which("redis-server") and not FAKED else ["valkey"]


def pytest_configure() -> None:
    """Keep temporary files in memory where it has room, unless TMPDIR says otherwise.

    Servers that write to disk before each reply would wait for one another: a test that fills a database would make
    Redis too slow for every other test.
    """
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak`: see the fixture `soak`."""
    parser.addoption("--soak", action="store_true", help="only the tests that have a long form, in that form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--soak`, leave out the tests that have no long form; without it, those that have no short one."""
    if config.getoption("--soak"):
        left_out = [item for item in items if "soak" not in getattr(item, "fixturenames", ())]
    else:
        left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def soak(pytestconfig: pytest.Config) -> bool:
    """Whether the test is to take its long form (`make soak`) instead of its short one (`make test`)."""
    return bool(pytestconfig.getoption("--soak"))


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """The address of a running server of each kind; it is started when first asked for."""
    started: dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def address(kind: str) -> str:
            if kind not in started:
                binary = embedded.find_binary() if kind == "valkey" else str(shutil.which("redis-server"))
                started[kind] = stack.enter_context(redis_server(binary))
            return started[kind]

        yield address


@contextlib.contextmanager
def redis_server(binary: str, *arguments: str) -> Iterator[str]:
    """The address of a server of this program, durable as the embedded one is, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        socket = Path(folder) / "s"
        always = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        process = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", str(socket), "--dir", folder, *always, *arguments],
            stdout=subprocess.DEVNULL,
        )
        try:
            answering(f"unix://{socket}")
            yield f"unix://{socket}"
        finally:
            process.kill()
            process.wait()


def answering(url: str) -> None:
    """Return when the server at `url` answers PING."""
    with BlockingRedis.from_url(url) as client:
        for _ in range(int(20 * PATIENCE)):
            try:
                client.ping()
            except (RedisError, OSError):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(["sleep", "0.05"], check=True)
            else:
                return
    raise TimeoutError(f"no answer from {url}")


@pytest.fixture(params=KINDS)
def redis_url(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> Iterator[str]:
    """An empty server of each kind; what the test leaves behind must be bounded."""
    yield from emptied(servers(request.param))


@pytest.fixture
def valkey_url(servers: Callable[[str], str]) -> Iterator[str]:
    """An empty Valkey, for tests in which the kind of server makes no difference."""
    yield from emptied(servers("valkey"))


def emptied(url: str) -> Iterator[str]:
    """`url`, emptied before and searched for unbounded keys afterwards."""
    with BlockingRedis.from_url(url) as client:
        client.flushall()
        yield url
        assert unbounded_keys(client) == []
        client.flushall()


def unbounded_keys(client: BlockingRedis) -> list[str]:
    """Keys with no time to live that are not on the permanent list."""
    names = [key.decode() for key in client.scan_iter(count=1000) if client.ttl(key) == -1]
    return [name for name in names if name != PARTITIONS and name.split(":")[2] not in PERMANENT]


@pytest.fixture
async def state(redis_url: str) -> AsyncIterator[State]:
    """An open state on each kind of server."""
    async with open_state(settings_for(redis_url)) as opened:
        yield opened


@pytest.fixture
def store(state: State) -> Store:
    """The store on each kind of server."""
    return state.store


@pytest.fixture
async def site(valkey_url: str) -> AsyncIterator[Site]:
    """A whole web process: real HTTP, real sockets, real Valkey; and the store beside it."""
    async with serving(settings_for(valkey_url)) as running:
        yield running


@pytest.fixture
async def stage(valkey_url: str) -> AsyncIterator[Site]:
    """A site with one webinar in each state, named after it, and as many hooks a second as a test likes."""
    async with serving(settings_for(valkey_url, max_hooks_per_person=0)) as site:
        for status in Status:
            times = {"started_at": AT, "finished_at": AT} if status in {Status.FINISHED, Status.ARCHIVED} else {}
            await site.transactions.create(room(status.value, status=status, **times))
        yield site


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Whatever a test starts ends with it."""
    async for _ in tasks_end():
        yield


async def tasks_end() -> AsyncIterator[None]:
    """For a fixture: of the tasks in its loop, none may be left that was not there before."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if not task.done() and task is not asyncio.current_task()}
    assert left == set()


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
    partitions = CLUSTER_PARTITIONS if "cluster" in any_url else 1
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
        await state.store.call("SCRIPT LOAD", Script.read(name).text)
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
