"""The supervisor of the embedded server: a small process that lives as long as anybody uses the data folder.

`python -m room_server.state.redis.supervisor DATA_DIR SOCKET BINARY` starts the server, restarts it when it dies, and
stops it when the last user has gone. Each user holds a shared lock on the file `users`; the kernel releases that lock
even after `kill -9`. The supervisor imports the standard library only and writes only to the server's log.
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
"""Seconds between two looks at the lock, and before a server that died is started again."""
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
        "no-appendfsync-on-rewrite": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(data / "server.log"),
        "loglevel": "notice",
        "daemonize": "no",
        "databases": "1",
    }
    return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def start(data: Path, socket: Path, binary: str, lock: IO[str]) -> subprocess.Popen[bytes]:
    """The server process. It inherits `lock`, so that no second server ever opens the same append-only file."""
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    socket.unlink(missing_ok=True)  # one left by a dead server; a living one holds the lock
    keeper = os.getpid()
    server = subprocess.Popen(  # noqa: S603 - our own command line
        command(data, socket, binary),
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _end_with(keeper),  # noqa: PLW1509 - this process has one thread
        pass_fds=(lock.fileno(),),
    )
    lock.truncate(0)
    lock.write(str(server.pid))
    lock.flush()
    return server


def _end_with(keeper: int) -> None:
    """Between fork and exec: ask the kernel to end the server when the keeper is killed (Linux only)."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != keeper:
        os._exit(1)  # it was killed before the kernel was asked


def keep(data: Path, socket: Path, binary: str) -> None:
    """Run the server until nobody holds `users` any more."""
    with (data / "users").open("a") as users, (data / "server").open("a+") as lock:
        _outlive(lock)
        server = start(data, socket, binary, lock)
        while not _locked(users):
            try:
                server.wait(TICK)
            except subprocess.TimeoutExpired:
                continue
            time.sleep(TICK)  # one that cannot live must not be started in a rush
            server = start(data, socket, binary, lock)
        stop(server)
        socket.unlink(missing_ok=True)
        if socket.parent != data:
            with contextlib.suppress(OSError):
                socket.parent.rmdir()


def stop(server: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """End the server, one way or the other."""
    server.terminate()
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


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
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), sent)
            if time.monotonic() > deadline:
                break
            time.sleep(TICK)  # bounded by the deadline: a lock on a file cannot be waited for with one
        else:
            return
    raise SystemExit(f"the server of {lock.name} does not end")


def main(data: Path, socket: Path, binary: str) -> None:
    """Hold the folder, unless another keeper was faster, and go on in a process that no one need wait for."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # it ends when its users have, and not before
    with (data / "keeper").open("a") as own:
        if _locked(own) and os.fork() == 0:  # the lock belongs to both and outlives the first
            keep(data, socket, binary)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
