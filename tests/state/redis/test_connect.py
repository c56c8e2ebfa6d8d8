"""Clients for every kind of address, and clear errors for wrong ones."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from room_server.errors import ConfigurationError, RedisAway
from room_server.state.redis.connect import CONNECTIONS, REPLY_SECONDS, client_of, connect, connected
from room_server.state.redis.embedded import find_binary
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.cluster import free_ports
from tests.conftest import redis_server
from tests.core import builders
from tests.core.builders import WEBINAR
from tests.outage import own_redis
from tests.proxy import proxy_to
from tests.state.acts import answer, prepare
from tests.support import PATIENCE, SLACK, eventually, settings_for

NAME = "leader"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost", "schemes"),
        ("localhost:6379", "schemes"),
        ("redis://localhost:port", "[Pp]ort"),
        ("redis://[::1", "IPv6"),
        ("redis://localhost?socket_timeout=soon", "socket_timeout"),
        ("redis://localhost?no_such_option=1", "no_such_option"),
        ("redis://localhost?decode_responses=true", "decode_responses"),
        ("rediss://localhost?ssl_cert_reqs=perhaps", "perhaps"),
        ("unix:///tmp/socket?no_such_option=1", "no_such_option"),
        ("redis+cluster://", "at least one node"),
        ("redis+cluster://localhost/1", "'db' must be 0"),
        ("redis+cluster://localhost:7000,:7001", "':7001'"),
        ("redis+cluster://localhost:7000,other:port", "[Pp]ort"),
        ("redis+cluster://localhost?no_such_option=1", "no_such_option"),
        ("redis+cluster://localhost?decode_responses=true", "decode_responses"),
        ("redis+sentinel://localhost", "name of the master"),
        ("redis+sentinel:///leader", "name of the master"),
        ("redis+sentinel://localhost:port/leader", "[Pp]ort"),
        ("redis+sentinel://localhost/leader?db=first", "first"),
        ("redis+sentinel://localhost/leader?database=1", "database"),
        ("redis+sentinel://localhost/leader?ssl_cert_reqs=none", "ssl_cert_reqs go with rediss"),
        ("rediss+sentinel://localhost/leader?ssl_cert_reqs=perhaps", "perhaps"),
    ],
)
async def test_a_wrong_address_is_a_clear_error(url: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^ROOM_SERVER_REDIS_URL: .*{expected}"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://example.org", {"host": "example.org"}),
        ("redis://user:p%40ss@example.org:7000/2", {"username": "user", "password": "p@ss", "port": 7000, "db": 2}),
        ("unix:///run/a%20b", {"path": "/run/a b"}),
        ("redis+sentinel://a,b:7000/leader?db=3", {"db": 3}),
        ("redis+sentinel://user:p%40ss@a/leader", {"username": "user", "password": "p@ss"}),
    ],
)
async def test_each_part_of_an_address_counts(url: str, wanted: dict[str, object]) -> None:
    async with connected(url) as client:
        assert isinstance(client, Redis)
        made = client.connection_pool.connection_kwargs
        assert {name: made[name] for name in wanted} == wanted


async def test_every_seed_of_a_cluster_counts() -> None:
    async with connected("redis+cluster://user:secret@127.0.0.1,127.0.0.2:7001,[::1]:7002") as client:
        assert isinstance(client, RedisCluster)
        assert {(node.host, int(node.port)) for node in client.startup_nodes} == {
            *(("127.0.0.1", 6379), ("127.0.0.2", 7001), ("::1", 7002))
        }
        assert {node.connection_kwargs["password"] for node in client.startup_nodes} == {"secret"}


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_server_of_a_cluster_is_reached_as_the_cluster_is(scheme: str) -> None:
    async with connected(f"{scheme}+cluster://user:secret@127.0.0.1") as client:
        assert isinstance(client, RedisCluster)
        async with client_of(client.startup_nodes[0]) as one:
            made, kind = one.connection_pool.connection_kwargs, one.connection_pool.connection_class

            assert (made["username"], made["password"], made["socket_timeout"]) == ("user", "secret", REPLY_SECONDS)
            assert issubclass(kind, SSLConnection) == (scheme == "rediss")


async def test_every_wait_of_a_client_has_a_bound() -> None:
    async with connected("redis://localhost") as client, connected("redis+sentinel://localhost/leader") as leader:
        for one in (client, leader):
            assert isinstance(one, Redis)
            made = one.connection_pool.connection_kwargs
            waits = (made["socket_timeout"], made["socket_connect_timeout"], one.connection_pool.max_connections)
            assert waits == (REPLY_SECONDS, REPLY_SECONDS, CONNECTIONS)


async def test_a_client_asks_once(redis_url: str) -> None:
    """The client does not repeat a write whose reply was lost."""
    async with proxy_to(redis_url) as proxy, connected(proxy.url) as client, connected(redis_url) as beside:
        assert isinstance(client, Redis)
        assert isinstance(beside, Redis)
        await client.ping()
        proxy.lose_reply_to(b"INCR")
        with pytest.raises(RedisConnectionError):
            await client.incr("rs:counter")
        await beside.expire("rs:counter", 60)

        assert await beside.get("rs:counter") == b"1"


@contextlib.contextmanager
def tcp_server(*arguments: str) -> Iterator[int]:
    """The port of a server on the loopback."""
    (port,) = free_ports(1)
    with redis_server(find_binary(), "--port", str(port), "--bind", "127.0.0.1", *arguments):
        yield port


@contextlib.contextmanager
def sentinel(folder: Path, leader: int, *more: str, program: str | None = None) -> Iterator[int]:
    """The port of a sentinel that watches over the leader at port `leader`; `more` are lines of its settings."""
    (port,) = free_ports(1)
    settings = folder / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {NAME} 127.0.0.1 {leader} 1\n"
        f"sentinel down-after-milliseconds {NAME} 300\nsentinel failover-timeout {NAME} 2000\n"
        + "".join(f"{line}\n" for line in more)
    )
    process = subprocess.Popen([program or find_binary(), str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


async def knows_its_leader(port: int) -> bool:
    """Whether the sentinel can name the leader."""
    async with Redis(port=port) as client:
        with contextlib.suppress(RedisConnectionError):
            return bool(await client.sentinel_master(NAME))
    return False


@pytest.fixture
async def sentinel_url(tmp_path: Path) -> AsyncIterator[str]:
    """A sentinel and its leader; nothing listens at the first address, and the second does not reply."""
    (absent,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as silent, tcp_server() as leader, sentinel(tmp_path, leader) as port:
        await eventually(lambda: knows_its_leader(port), "the sentinel knows its leader")
        places = [f"127.0.0.1:{place}" for place in (absent, silent.getsockname()[1], port)]
        yield f"redis+sentinel://{','.join(places)}/{NAME}"


async def test_the_leader_is_found_by_the_sentinel_that_answers(sentinel_url: str) -> None:
    started = time.monotonic()
    async with open_state(settings_for(sentinel_url)) as state:
        opened = time.monotonic() - started
        await prepare(state.store)

        assert (await state.store.load(WEBINAR)).room is not None
    assert opened < REPLY_SECONDS + SLACK


async def test_sentinels_may_have_a_password_of_their_own(tmp_path: Path) -> None:
    user = ("--user", "rooms", "on", ">master", "~*", "&*", "+@all")
    with tcp_server(*user) as leader, sentinel(tmp_path, leader, "requirepass guard%1") as port:
        url = f"redis+sentinel://rooms:master@127.0.0.1:{port}/{NAME}"
        with pytest.raises(ConfigurationError, match="No master found") as refused:
            await asyncio.wait_for(opened(url), PATIENCE)
        await eventually(lambda: opens(f"{url}?sentinel_password=guard%251&db=1"), "the sentinel gives the leader")
    assert "rooms:" not in str(refused.value)


async def opened(url: str) -> None:
    """Open the state, and close it."""
    async with open_state(settings_for(url)):
        pass


async def opens(url: str) -> bool:
    """Whether the state can be opened by now."""
    with contextlib.suppress(RedisAway):
        await opened(url)
        return True
    return False


@pytest.mark.skipif(not shutil.which("redis-server"), reason="the embedded server speaks no TLS, Debian's Redis does")
async def test_sentinels_and_their_leader_may_speak_tls(tmp_path: Path) -> None:
    program, (plain, port) = str(shutil.which("redis-server")), free_ports(2)
    made = certificate(tmp_path)
    names = [name.removeprefix("--") for name in made if name.startswith("--")]
    files = dict(zip(names, [made[made.index(f"--{name}") + 1] for name in names], strict=True))
    lines = [f"{name} {value}" for name, value in files.items()] + [f"tls-port {port}", "tls-replication yes",
             f"tls-ca-cert-file {files['tls-cert-file']}"]  # fmt: skip
    leading = ["--port", "0", "--tls-port", str(plain), "--bind", "127.0.0.1", *made]
    with redis_server(program, *leading), sentinel(tmp_path, plain, *lines, program=program):
        url = f"rediss+sentinel://127.0.0.1:{port}/{NAME}?ssl_cert_reqs=none"
        await eventually(lambda: opens(url), "the sentinel gives the leader")


async def test_a_leader_that_the_sentinels_do_not_know_is_a_clear_error(sentinel_url: str) -> None:
    with pytest.raises(ConfigurationError, match="No master found for 'other'"):
        async with open_state(settings_for(sentinel_url.replace(NAME, "other"))):
            pass


async def knows_a_follower(port: int) -> bool:
    """Whether the sentinel knows whom to promote."""
    async with Redis(port=port) as client:
        state: Any = await client.sentinel_master(NAME)
        return int(state["num-slaves"]) == 1


async def is_led(store: Store) -> bool:
    """Whether the webinar can be changed."""
    return await answer(store, builders.cta()) in {"ok", "duplicate"}


async def test_a_new_leader_is_followed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as old, tcp_server() as new:
        leader = old.enter_context(tcp_server("--repl-diskless-sync-delay", "0"))
        async with Redis(port=new) as follower:
            await follower.replicaof("127.0.0.1", str(leader))
            with sentinel(tmp_path, leader) as port:
                await eventually(lambda: knows_a_follower(port), "the sentinel knows the follower")
                async with open_state(settings_for(f"redis+sentinel://127.0.0.1:{port}/{NAME}")) as state:
                    await prepare(state.store)
                    await eventually(lambda: state.store.call("WAIT", 1, 200), "the follower has it")
                    old.close()

                    assert await eventually(lambda: is_led(state.store), "the follower leads")


@pytest.mark.skipif(not shutil.which("redis-server"), reason="the embedded server speaks no TLS, Debian's Redis does")
async def test_a_server_that_does_not_close_in_time_is_no_error(tmp_path: Path) -> None:
    """Closing a TLS connection waits for the peer's close_notify; a frozen server sends none."""
    (port,) = free_ports(1)
    arguments = certificate(tmp_path)
    async with own_redis("--tls-port", str(port), *arguments, program=shutil.which("redis-server")) as server:
        async with connected(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=none&ssl_check_hostname=false") as client:
            assert await client.ping()
            server.freeze()
        server.thaw()


def certificate(folder: Path) -> list[str]:
    """Settings of a server with a key of its own."""
    paths = {"--tls-key-file": folder / "key.pem", "--tls-cert-file": folder / "certificate.pem"}
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    out = ["-subj", "/CN=localhost", "-keyout", str(paths["--tls-key-file"]), "-out", str(paths["--tls-cert-file"])]
    subprocess.run([*made, *out], check=True, capture_output=True)
    return ["--tls-auth-clients", "no", *(str(part) for item in paths.items() for part in item)]
