"""`python -m tests.state.writer DATA NAME` makes webinars on the embedded server, one after the other.

It prints each once it is acknowledged, and goes on until it is killed or its standard input ends.
"""

import asyncio
import sys
from pathlib import Path

from room_server.config import Settings
from room_server.errors import Conflict, StateUnavailable
from room_server.state.startup import open_state
from room_server.state.store import Store
from tests.core import builders
from tests.support import transactions


async def write(data: Path, name: str) -> None:
    """One webinar after the other."""
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with open_state(Settings(data_dir=str(data))) as state:
        number = 0
        while not ended.done():
            if await is_made(state.store, f"{name}-{number}"):
                sys.stdout.write(f"{name}-{number}\n")
                sys.stdout.flush()
                number += 1


async def is_made(store: Store, name: str) -> bool:
    """Whether it was acknowledged that the webinar is there."""
    try:
        await transactions(store).create(builders.room("draft", webinar_id=name))
    except StateUnavailable:
        return False
    except Conflict:
        return True
    return True


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2]))
