"""A plain Starlette endpoint per socket on uvicorn; a line on standard input sends to each.

`PORT SIZE [keepalive]`: with uvicorn's own keepalive, as it is by default and as ours has one, or without.
"""

import asyncio
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

members: set[WebSocket] = set()


async def member(socket: WebSocket) -> None:
    await socket.accept()
    members.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        members.discard(socket)


async def main() -> None:
    text = "x" * int(sys.argv[2])
    app = Starlette(routes=[WebSocketRoute("/", member)])
    more: dict[str, Any] = {
        "log_level": "error",
        "ws_per_message_deflate": False,
        "ws_ping_interval": 20.0 if "keepalive" in sys.argv else None,
        "lifespan": "off",
    }
    config = uvicorn.Config(app, port=int(sys.argv[1]), backlog=4096, **more)
    server = asyncio.create_task(uvicorn.Server(config).serve())
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        for socket in list(members):
            await socket.send_text(text)
    server.cancel()


asyncio.run(main())
