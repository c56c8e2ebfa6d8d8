"""Several web processes that share one address: `room-server web --workers N`."""

import socket

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from room_server.errors import RoomServerError
from room_server.protocols.bounded_http import uvicorn_config
from room_server.telemetry import multiprocess

CANNOT_START = "the server could not start; the log says why"
HEALTH_SECONDS = 10
"""A worker that does not answer the supervisor's ping for so long is replaced; one may need some seconds to start. The
supervisor handles no signal meanwhile, so this and the longest drain are shorter than TimeoutStopSec (deploy/)."""
TERMINATE_EVERY = 1.0
"""Seconds between two SIGTERM to a worker that is to end."""


def run_workers(number: int, listening: socket.socket) -> None:
    """Run `number` workers, with the settings of the environment, until SIGINT or SIGTERM ends them gracefully.

    Raises RoomServerError when one cannot start and no other one serves.
    """
    config = uvicorn_config(
        "room_server.app:from_environment", workers=number, timeout_worker_healthcheck=HEALTH_SECONDS
    )
    with multiprocess.for_workers():
        supervisor = Workers(config, [listening])
        supervisor.run()
    if supervisor.failed:
        raise RoomServerError(CANNOT_START)


class Workers(Multiprocess):
    """uvicorn's supervisor, changed: when one worker cannot start, the others go on serving."""

    failed = False
    """Whether it ended because no worker could start."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that ended; end all when one cannot start and none serves."""
        if self.should_exit.is_set():
            return
        super().keep_subprocess_alive()
        if not self.should_exit.is_set():
            return
        self.failed = not any(worker.is_ready() for worker in self.processes)
        if self.failed:
            return
        self.should_exit.clear()
        for number, worker in enumerate(self.processes):
            if worker.exitcode == STARTUP_FAILURE:
                self.processes[number] = Process(self.config, self.sockets)
                self.processes[number].start()

    def join_all(self) -> None:
        """Wait for every worker; repeat SIGTERM, since a worker that is starting may have missed the first."""
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(TERMINATE_EVERY)
                worker.terminate()
