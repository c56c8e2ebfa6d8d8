"""Two servers of a Cluster, a primary and its replica, which change places when the primary is gone."""

import asyncio
import os
import subprocess
import time
from signal import Signals
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.clocks import Clock, sweep
from tests.support import eventually

NEAR = 5.0
"""Seconds, in which a clock is taken for right."""
HEAL_SECONDS = 60.0
"""For a couple to be whole again: an election, a full copy, and a machine that does other things too."""


class Couple:
    """`ports` are those of the primary and of its replica at first, `clocks` theirs; `started` has all processes."""

    def __init__(
        self,
        name: str,
        started: dict[int, subprocess.Popen[bytes]],
        ports: tuple[int, int],
        clocks: tuple[Clock, Clock],
    ) -> None:
        self.name = name
        self.primary, self.replica = ports
        self.promotions = 0
        """How often the replica took the primary's place, on whoever's order."""
        self._started = started
        self._clocks = dict(zip(ports, clocks, strict=True))

    def signal(self, number: Signals) -> None:
        """To the primary."""
        self.signal_to(self.primary, number)

    def signal_to(self, port: int, number: Signals) -> None:
        """To the server at this port."""
        self._started[port].send_signal(number)

    async def kill(self) -> None:
        """`kill -9` of the primary; once its replica has taken over by itself it comes back, as that one's replica."""
        await self.end(self.primary)
        await self.succeeded()
        await self.whole()

    async def end(self, port: int) -> None:
        """`kill -9`."""
        self._started[port].kill()
        await asyncio.to_thread(self._started[port].wait)
        sweep(self._started[port].pid)

    def begin(self, port: int) -> None:
        """Start the server at this port again, on what its disk has."""
        environment = {**os.environ, **self._clocks[port].environment()}
        words = self._started[port].args
        self._started[port] = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment)

    async def succeeded(self) -> None:
        """Wait until the replica is the primary, and start the former one if it has ended."""
        await eventually(lambda: self.is_primary(self.replica), f"{self.name}: the replica took over", HEAL_SECONDS)
        if self._started[self.primary].poll() is not None:
            self.begin(self.primary)

    async def whole(self) -> None:
        """Wait until one is the primary and the other has all that it has; which is which is known again then."""
        await eventually(self._is_whole, f"{self.name} is whole again", HEAL_SECONDS)

    async def _is_whole(self) -> bool:
        for primary, replica in ((self.primary, self.replica), (self.replica, self.primary)):
            follows = await ask(replica, "ROLE")
            if is_linked(follows, primary) and await self.is_primary(primary):
                self.promotions += primary != self.primary
                self.primary, self.replica = primary, replica
                return True
        return False

    async def is_primary(self, port: int) -> bool:
        """Whether the server there takes writes."""
        role = await ask(port, "ROLE")
        return bool(role) and role[0] == b"master"

    async def take_over(self) -> None:
        """The replica takes its primary's place with what it has, whatever the others think of it."""

        async def ordered() -> bool:
            return await ask(self.replica, "CLUSTER", "FAILOVER", "TAKEOVER") is not None

        await eventually(ordered, f"{self.name}: the replica is there", HEAL_SECONDS)

    async def hand_over(self) -> None:
        """A planned fail-over: the replica takes its primary's place in order, with all that it had."""

        async def handed() -> bool:
            await ask(self.replica, "CLUSTER", "FAILOVER")
            return await self.is_primary(self.replica)

        await eventually(handed, f"{self.name}: the replica has its turn", HEAL_SECONDS)
        await self.whole()

    async def bar(self, barred: bool) -> None:
        """Whether the replica has to wait for its primary, however long that is away."""
        word = "yes" if barred else "no"
        await eventually(
            lambda: ask(self.replica, "CONFIG", "SET", "cluster-replica-no-failover", word),
            f"{self.name}: the replica heeds",
            HEAL_SECONDS,
        )

    async def show_time(self) -> None:
        """Wait until both servers go by what their clocks were set to."""
        for port, clock in self._clocks.items():

            async def shown(port: int = port, clock: Clock = clock) -> bool:
                told = await ask(port, "TIME")
                return bool(told) and abs(told[0] - time.time() - clock.ahead) < NEAR

            await eventually(shown, f"{self.name}: the clock is another one", HEAL_SECONDS)


async def ask(port: int, *command: str) -> Any:
    """The reply of the server at this port; None when there is none."""
    client: Any = Redis(port=port, socket_timeout=2, socket_connect_timeout=2)  # redis-py leaves parts of it untyped
    async with client:
        try:
            return await client.execute_command(*command)
        except (RedisError, OSError):
            return None


def is_linked(role: Any, primary: int) -> bool:
    """Whether a server with this ROLE has caught up with the primary at this port."""
    return bool(role) and role[0] == b"slave" and role[2] == primary and role[3] == b"connected"
