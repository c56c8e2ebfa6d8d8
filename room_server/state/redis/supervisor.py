"""The supervisor of the embedded server: a small process that lives as long as anybody uses the data folder.

`python -m room_server.state.redis.supervisor DATA_DIR SOCKET BINARY` starts the server, restarts it when it dies, and
stops it when the last user is gone. A user holds a shared lock on the file `users`, which the kernel releases even
after `kill -9`. The supervisor imports the standard library only, and prints only to the server's log.

Locked files in the data folder: `users` (by users), `keeper` (by the supervisor), `server` (by the server).
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

TICK = 0.2
"""Seconds between two tries to lock a file, and before a server that died is restarted."""
STOP_SECONDS = 10
"""How long the server may take to stop before it is killed; all acknowledged writes are on disk anyway."""
PR_SET_PDEATHSIG = 1


def command(data: Path, socket: Path, binary: str) -> list[str]:
    """The server's command line: on a Unix socket only, with each write on disk before its reply."""
    settings = {
        "port": 0,
        "unixsocket": socket,
        "unixsocketperm": 700,
        "dir": data,
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": data / "server.log",
        "databases": 1,
    }
    return [binary, *(str(part) for name, value in settings.items() for part in (f"--{name}", value))]


def start(data: Path, socket: Path, binary: str, lock: IO[str]) -> subprocess.Popen[bytes]:
    """Start the server. It inherits `lock`, the file `server`, so that no second one opens its append-only file."""
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    socket.unlink(missing_ok=True)  # left by a server that was killed: one that runs would hold the lock
    supervisor = os.getpid()
    server = subprocess.Popen(  # noqa: S603 - our own command line
        command(data, socket, binary),
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _end_with(supervisor),  # noqa: PLW1509 - this process has one thread
        pass_fds=(lock.fileno(),),
    )
    lock.truncate(0)
    lock.write(str(server.pid))
    lock.flush()
    return server


def _end_with(supervisor: int) -> None:
    """Between fork and exec: make the kernel end the server when the supervisor dies (Linux only)."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:
        os._exit(1)  # the supervisor died before the call


def supervise(data: Path, socket: Path, binary: str) -> None:
    """Run the server until nobody locks `users` any more."""
    with (data / "users").open("a") as users, (data / "server").open("a+") as lock:
        _end_previous_server(lock)
        server = start(data, socket, binary, lock)
        while not try_lock(users):
            try:
                server.wait(TICK)
            except subprocess.TimeoutExpired:
                continue
            time.sleep(TICK)  # bounds the restarts of a server that fails at once
            server = start(data, socket, binary, lock)
        stop(server)
        socket.unlink(missing_ok=True)
        if socket.parent != data:
            with contextlib.suppress(OSError):
                socket.parent.rmdir()


def stop(server: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Terminate the server; kill it when it has not ended after `seconds`."""
    server.terminate()
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def try_lock(file: IO[str]) -> bool:
    """Lock the file exclusively; False if another process holds a lock on it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_previous_server(lock: IO[str]) -> None:
    """Lock `server`. While the server of a supervisor that was killed holds it, end that one by its id in the file."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if try_lock(lock):
                return
            lock.seek(0)
            if pid := lock.read().strip():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), sent)
            time.sleep(TICK)  # bounded by the deadline: waiting for a lock on a file has no time-out of its own
    raise SystemExit(f"the server of {lock.name} does not end")


def main(data: Path, socket: Path, binary: str) -> None:
    """Lock `keeper` and supervise in a forked process, so that the caller need not wait; exit if it is locked."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the supervisor ends when its last user has, and not before
    with (data / "keeper").open("a") as lock:
        if try_lock(lock) and os.fork() == 0:  # both processes hold the lock: it outlives the parent
            supervise(data, socket, binary)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
