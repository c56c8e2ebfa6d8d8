"""Faults of a Cluster's servers: of primaries, of their replicas, and of their clocks."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.couples import Couple
from tests.chaos.faults import Fault, Scene

SET_BACK = 600
"""Seconds: longer than any run waits for messages, so one that waits for the clock to catch up is found."""


async def pause(scene: Scene, fault: Fault) -> None:
    """The primary is frozen, and goes on before anybody elects another."""
    async with _struck(scene, fault) as couple:
        couple.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)  # how long it says nothing
        couple.signal(signal.SIGCONT)


async def kill(scene: Scene, fault: Fault) -> None:
    """`kill -9` of the primary; its replica takes over by itself."""
    async with _struck(scene, fault) as couple:
        await couple.kill()


async def depose(scene: Scene, fault: Fault) -> None:
    """The primary is frozen until its replica has taken over, and goes on as if nothing had happened."""
    async with _struck(scene, fault) as couple:
        couple.signal(signal.SIGSTOP)
        await couple.succeeded()
        await asyncio.sleep(fault.seconds)  # how long the heir rules alone
        couple.signal(signal.SIGCONT)


async def hand_over(scene: Scene, fault: Fault) -> None:
    """A planned fail-over: the replica takes the primary's place in order, with all that it had."""
    async with _struck(scene, fault) as couple:
        await couple.hand_over()


async def strand(scene: Scene, fault: Fault) -> None:
    """The replica is frozen, then both are killed; it comes back in its primary's place, without what it has missed."""
    async with _struck(scene, fault) as couple:
        couple.signal_to(couple.replica, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)  # how long changes are made that no replica has
        await couple.end(couple.primary)
        await couple.end(couple.replica)
        couple.begin(couple.replica)
        await couple.take_over()
        await couple.succeeded()


async def absent(scene: Scene, fault: Fault) -> None:
    """The replica is not there, and hooks of its primary's webinars cannot be answered."""
    async with _struck(scene, fault) as couple:
        couple.signal_to(couple.replica, signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)  # longer than a sender's lease
        couple.signal_to(couple.replica, signal.SIGCONT)


async def away(scene: Scene, fault: Fault) -> None:
    """The primary is frozen, nobody may take over, and all others are watched until they have shown that they go on."""
    async with _bereft(scene, fault) as couple:
        couple.signal(signal.SIGSTOP)
        await scene.observer.watch_without(_place(scene, fault), fault.seconds)
        couple.signal(signal.SIGCONT)


async def dead(scene: Scene, fault: Fault) -> None:
    """The same of a primary that is killed: whoever connects is refused, and need not wait."""
    async with _bereft(scene, fault) as couple:
        await couple.end(couple.primary)
        await scene.observer.watch_without(_place(scene, fault), fault.seconds)
        couple.begin(couple.primary)


async def set_back(scene: Scene, _: Fault) -> None:
    """The clocks of all servers jump back; those of the hosts do not.

    For as long as they have jumped, the servers of a Cluster take nobody for dead: no fail-over may be needed by then.
    """
    for clock in scene.site.server_clocks:
        clock.step(clock.ahead - SET_BACK)
    for couple in scene.site.couples:
        await couple.show_time()


@asynccontextmanager
async def _struck(scene: Scene, fault: Fault) -> AsyncIterator[Couple]:
    """The couple that is struck, while somebody acts in a room of its primary; it is whole again afterwards."""
    place = _place(scene, fault)
    async with scene.observer.acting(place):
        yield scene.site.couples[place]
        await scene.site.couples[place].whole()


@asynccontextmanager
async def _bereft(scene: Scene, fault: Fault) -> AsyncIterator[Couple]:
    """The same, from a moment when all is well, and with a replica that has to wait for its primary."""
    await scene.observer.all_is_well()
    async with _struck(scene, fault) as couple:
        await couple.bar(True)
        yield couple
        await couple.bar(False)


def _place(scene: Scene, fault: Fault) -> int:
    return next(place for place, couple in enumerate(scene.site.couples) if couple.name == fault.victim)
