"""The keeper of the embedded server: a small process that lives as long as anybody uses the data folder.

`python -m room_server.state.keeper DATA_DIR SOCKET BINARY` starts the server, starts it again when it dies, and stops
it once the last user is gone, however it went: each user holds a shared lock on the file `users`, which the kernel
releases even after `kill -9`. It imports the standard library only and writes nothing but the server's log.
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
"""Seconds between two looks at the lock."""
STOP_SECONDS = 10
"""How long the server may take to stop before it is killed; everything acknowledged is on disk already."""
PR_SET_PDEATHSIG = 1


def command(data: Path, socket: Path, binary: str) -> list[str]:
    """The server's command line: on a Unix socket only, with each write on disk before its reply."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(data / "server.log"),
        "loglevel": "notice",
        "daemonize": "no",
        "databases": "1",
    }
    return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def _end_with_the_keeper() -> None:
    """Between fork and exec: ask the kernel to end the server when the keeper is killed (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(data: Path, socket: Path, binary: str, lock: IO[str]) -> subprocess.Popen[bytes]:
    """The server process. It inherits `lock`, so that no second server ever opens the same append-only file."""
    socket.unlink(missing_ok=True)  # one left by a dead server; a living one holds the lock
    server = subprocess.Popen(  # noqa: S603 - our own command line
        command(data, socket, binary),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_end_with_the_keeper,  # noqa: PLW1509 - this process has one thread
        pass_fds=(lock.fileno(),),
    )
    lock.truncate(0)
    lock.write(str(server.pid))
    lock.flush()
    return server


def keep(data: Path, socket: Path, binary: str) -> None:
    """Run the server until nobody holds `users` any more."""
    with (data / "keeper").open("a") as own, (data / "users").open("a") as users, (data / "server").open("a+") as lock:
        if not _locked(own):
            return  # another keeper was faster
        _outlive(lock)
        server = start(data, socket, binary, lock)
        while not _locked(users):
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(TICK)
                server = start(data, socket, binary, lock)
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        socket.unlink(missing_ok=True)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _outlive(lock: IO[str]) -> None:
    """Wait for the server of a keeper that was killed to end, and see to it that it does."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        while not _locked(lock):
            lock.seek(0)
            if pid := lock.read().strip():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), sent)
            if time.monotonic() > deadline:
                break
            time.sleep(TICK)  # bounded by the deadline: a lock on a file cannot be waited for with one
        else:
            return
    raise SystemExit(f"the server of {lock.name} does not end")


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it ends when its users have, and not before
    keep(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
