"""The workers of `web --workers N`: processes on one address, and their parent, which replaces those that end."""

import socket

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from room_server.errors import RoomServerError
from room_server.protocols.bounded_http import uvicorn_config
from room_server.telemetry import multiprocess

CANNOT_START = "the server could not start; the log says why"
SIGN_OF_LIFE = 10
"""Seconds within which a worker answers its parent, or is replaced. One that starts on a busy machine needs some, and
a parent that waits for one hears no signal: this and the longest farewell fit into TimeoutStopSec (deploy/)."""
TOLD_AGAIN = 1.0
"""Seconds after which a worker that is to end is told once more."""


def run_workers(number: int, listening: socket.socket) -> None:
    """Run `number` workers, whose settings are the environment's, until SIGINT or SIGTERM ends them in order.

    Raises RoomServerError when one cannot start and no other one serves.
    """
    config = uvicorn_config("room_server.app:from_environment", workers=number, timeout_worker_healthcheck=SIGN_OF_LIFE)
    with multiprocess.for_workers():
        supervisor = Workers(config, [listening])
        supervisor.run()
    if supervisor.failed:
        raise RoomServerError(CANNOT_START)


class Workers(Multiprocess):
    """uvicorn's supervisor, which ends all workers when one cannot start; here those that serve go on."""

    failed = False
    """Whether it ended because no worker could start."""

    def keep_subprocess_alive(self) -> None:
        """Start anew whatever ended; only where no worker serves does one that cannot start end all."""
        if self.should_exit.is_set():
            return
        super().keep_subprocess_alive()
        if not self.should_exit.is_set():
            return
        self.failed = not any(process.is_ready() for process in self.processes)
        if self.failed:
            return
        self.should_exit.clear()
        for number, process in enumerate(self.processes):
            if process.exitcode == STARTUP_FAILURE:
                self.processes[number] = Process(self.config, self.sockets)
                self.processes[number].start()

    def join_all(self) -> None:
        """Wait for every worker; one that was told to end when it could not hear it yet is told again."""
        for process in self.processes:
            while process.process.is_alive():
                process.process.join(TOLD_AGAIN)
                process.terminate()
