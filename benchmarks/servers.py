"""Our server as it is measured: on a Valkey with each write on disk before its reply; and those who speak to it."""

import json
import socket
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import FIRST, OTHERS, await_ready, free_port, last_words, module, program
from room_server import auth
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.state.redis import embedded, supervisor

SECRET = "a-secret-of-the-benchmarks-long-enough"
SETTINGS = Settings(token_secret=SECRET)
ENVIRONMENT = {
    "ROOM_SERVER_TOKEN_SECRET": SECRET,
    "ROOM_SERVER_MAX_SOCKETS": "0",
    "ROOM_SERVER_MAX_SOCKETS_PER_PERSON": "0",
    "ROOM_SERVER_MAX_HOOKS_PER_PERSON": "0",
}
PRODUCT = "room_server"
WEBINAR = "w"
IDLE_SECONDS = 5.0
"""The server closes connections that nobody uses for longer than 15."""


class Server(Struct, frozen=True):
    """A running server with one webinar that is live."""

    port: int
    pid: int
    redis_url: str

    def hook(self, name: str, payload: Mapping[str, object], token: str) -> bytes:
        """A hook's request."""
        body = json.dumps({"webinar_id": WEBINAR, **payload})
        lines = [f"POST /hooks/{name} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {token}"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", body]).encode()

    def entered(self, leads: Sequence[int]) -> list[bytes]:
        """Each lead enters, once, with a token of its own."""
        return [
            self.hook("client_webinar_entered", {"lead_id": lead, "timestamp": 1}, token("attendee", str(lead)))
            for lead in leads
        ]

    def handshakes(self, leads: Sequence[int], webinar: str = WEBINAR) -> list[bytes]:
        """A socket's handshake for each lead, the token as a browser sends it."""
        path, tokens = f"/rooms/{webinar}/socket", [token("attendee", str(lead), webinar) for lead in leads]
        return [handshake(self.port, path, f"room.v1, room.bearer.{one}") for one in tokens]


class Speaker:
    """Somebody on one connection who shows and hides the CTA, each time a change."""

    def __init__(self, server: Server) -> None:
        self._port, self._spoke = server.port, 0.0
        bearer, name = token("speaker", "s"), "core_webinar_set_cta_visibility"
        self._requests = [server.hook(name, {"visible": visible}, bearer) for visible in (True, False)]
        self._send(server.hook("core_webinar_set_status", {"status": "start"}, bearer))
        self.answered()

    def change(self) -> None:
        """The next change, durable."""
        self.ask()
        self.answered()

    def ask(self) -> None:
        """Send the next change's hook; `answered` is for afterwards."""
        self._send(self._requests[0])
        self._requests.reverse()

    def _send(self, request: bytes) -> None:
        if time.monotonic() - self._spoke > IDLE_SECONDS:
            self._line = socket.create_connection(("127.0.0.1", self._port))
        self._line.sendall(request)

    def answered(self) -> None:
        """Return when the hook is answered. Raises AssertionError when it is refused."""
        answer = self._line.recv(65536)
        while answer.startswith(b"HTTP/1.1 200") and b"}" not in answer:
            answer += self._line.recv(65536) or b"}"
        assert answer.startswith(b"HTTP/1.1 200"), answer
        self._spoke = time.monotonic()


def token(role: str, subject: str, webinar: str = WEBINAR) -> str:
    """A token for the webinar, or for another, or for all (`*`)."""
    return auth.issue(SETTINGS, {"sub": subject, "role": role, "webinar_id": webinar}, 7200)


def handshake(port: int, path: str = "/", subprotocols: str = "") -> bytes:
    """A WebSocket handshake's request."""
    key = b64encode(b"the sample nonce").decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines += [f"Sec-WebSocket-Protocol: {subprotocols}"] if subprotocols else []
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def valkey(port: int = 0) -> Iterator[str]:
    """The address of a server of its own, with fsync before each reply, as the embedded one; on TCP, too, if asked."""
    with tempfile.TemporaryDirectory(prefix="rs-") as folder:
        path = Path(folder) / "s"
        command = [*supervisor.command(Path(folder), path, embedded.find_binary()), "--port", str(port)]
        with program(command, cores=OTHERS) as child:
            while not path.exists() and child.poll() is None:
                time.sleep(0.02)  # until it listens or has ended
            yield f"unix://{path}"


@contextmanager
def serving(launcher: Sequence[str] = (PRODUCT,), writer: str = "auto") -> Iterator[Server]:
    """A web process with the first core to itself: `room_server`, or a launcher that runs it otherwise.

    `writer`: the setting SOCKET_WRITER.
    """
    with valkey() as url:
        settings = {"ROOM_SERVER_REDIS_URL": url, "ROOM_SERVER_SOCKET_WRITER": writer}
        with running(settings, launcher) as server:
            yield server


@contextmanager
def running(
    settings: Mapping[str, str], launcher: Sequence[str] = (PRODUCT,), more: Sequence[str] = (), cores: set[int] = FIRST
) -> Iterator[Server]:
    """The same with other settings, `more` words of the command line, and on other cores."""
    environment = {**ENVIRONMENT, **settings}
    create = [*module(PRODUCT), "webinar", "create", WEBINAR, "--title", "Benchmark", "--at", utc_now().isoformat()]
    action = ["--cta-label", "Join", "--cta-url", "https://example.org/join"]
    with program([*create, *action], environment, OTHERS) as created:
        assert created.wait() == 0, last_words(created.pid)
    port, (name, *words) = free_port(), launcher
    with program([*module(name), *words, "web", "--port", str(port), *more], environment, cores) as child:
        await_ready(child)
        yield Server(port, child.pid, settings.get("ROOM_SERVER_REDIS_URL", ""))
