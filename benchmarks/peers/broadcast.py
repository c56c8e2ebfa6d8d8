"""`websockets.broadcast()` as its documentation shows it; a line on standard input broadcasts. `PORT SIZE`.

Each text has a number, one higher than that of the text before.
"""

import asyncio
import itertools
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def member(connection: ServerConnection) -> None:
    members.add(connection)
    try:
        await connection.wait_closed()
    finally:
        members.discard(connection)


async def main() -> None:
    size, numbers = int(sys.argv[2]), itertools.count()
    loop = asyncio.get_running_loop()
    async with serve(member, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=4096):
        while await loop.run_in_executor(None, sys.stdin.readline):
            broadcast(members, f'{{"version":{next(numbers)}}}'.ljust(size))


asyncio.run(main())
