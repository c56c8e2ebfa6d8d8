"""Faults of processes, of their lines to Redis, of their clocks, and of those who read."""

import asyncio
import signal

from tests.chaos.faults import Fault, Scene

LATE = 0.3
"""Seconds by which every reply is late while there is a delay."""
LOST = 5
"""Replies that are lost at a time."""
APART = (-60, 0, 60)
"""Seconds that the clocks of hosts are ahead of ours."""


async def kill(scene: Scene, fault: Fault) -> None:
    """`kill -9`; started again at once."""
    await scene.site.victims()[fault.victim].kill()


async def freeze(scene: Scene, fault: Fault) -> None:
    """It says nothing for a while, and goes on."""
    victim = scene.site.victims()[fault.victim]
    victim.signal(signal.SIGSTOP)
    await asyncio.sleep(fault.seconds)  # how long it says nothing
    victim.signal(signal.SIGCONT)


async def delay(scene: Scene, fault: Fault) -> None:
    """Every reply comes late."""
    proxy = scene.site.proxies[fault.victim]
    proxy.delay = LATE
    await asyncio.sleep(fault.seconds)  # how long replies are late
    proxy.delay = 0.0


async def hang(scene: Scene, fault: Fault) -> None:
    """Nothing passes."""
    proxy = scene.site.proxies[fault.victim]
    proxy.freeze()
    await asyncio.sleep(fault.seconds)  # how long nothing passes
    proxy.thaw()


async def cut(scene: Scene, fault: Fault) -> None:
    """Every line ends."""
    scene.site.proxies[fault.victim].cut()


async def half_close(scene: Scene, fault: Fault) -> None:
    """Every line says that nothing more comes, while it still takes requests."""
    scene.site.proxies[fault.victim].half_close()


async def lose(scene: Scene, fault: Fault) -> None:
    """The next commits are done, and their replies never come."""
    for _ in range(LOST):
        scene.site.proxies[fault.victim].lose_reply_to(b"EVALSHA")


async def step(scene: Scene, fault: Fault) -> None:
    """Its clock becomes another one, a minute ahead of ours, right, or a minute behind; it stays so."""
    scene.site.hosts[fault.victim].clock.step(scene.chance.choice(APART))


async def drop(scene: Scene, _: Fault) -> None:
    """Sockets end."""
    for client in scene.some_readers():
        if client.line is not None:
            client.line.hang_up()


async def deafen(scene: Scene, fault: Fault) -> None:
    """Readers read nothing."""
    deaf = [client.line.transport for client in scene.some_readers() if client.line is not None]
    for transport in deaf:
        if transport is not None and not transport.is_closing():
            transport.pause_reading()
    await asyncio.sleep(fault.seconds)  # how long they read nothing
    for transport in deaf:
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
