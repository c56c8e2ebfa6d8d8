"""`websockets.broadcast()` as its documentation shows it; a line on standard input broadcasts. `PORT SIZE`."""

import asyncio
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
    text = "x" * int(sys.argv[2])
    loop = asyncio.get_running_loop()
    async with serve(member, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=4096):
        while await loop.run_in_executor(None, sys.stdin.readline):
            broadcast(members, text)


asyncio.run(main())
