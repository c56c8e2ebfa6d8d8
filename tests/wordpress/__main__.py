"""`make wordpress`: a WordPress with the plugin and a room server, for a person to look at. Ctrl-C ends all of it."""

import asyncio
import signal

from tests.wordpress.live import PEOPLE, live
from tests.wordpress.site import database


async def main() -> None:
    """Start everything, print where it is, and wait for the end."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with database() as running:
        async with live(running) as started:
            for name, address in started.links().items():
                print(f"{name:24} {address}")  # noqa: T201
            print(f"users: admin, {', '.join(PEOPLE)}; the password is: password")  # noqa: T201
            print(f"ready {started.site.home}/", flush=True)  # noqa: T201
            await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
