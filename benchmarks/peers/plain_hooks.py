"""`client_webinar_entered` as a plain Starlette endpoint: `python -m … PORT REDIS SECRET line|pool [known]`.

The token by PyJWT, the body by msgspec, our own decision, and our own scripts in the same Valkey, by redis-py.
`line`: one connection, one command after the other. `pool`: a connection for each command under way. With `known` it
reads the room at its start and loads nothing more, as our server, which has a copy, loads nothing for this hook.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import msgspec
import uvicorn
from redis.asyncio import BlockingConnectionPool, Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from room_server import auth
from room_server.api.hook_answers import answer_to
from room_server.clock import utc_now
from room_server.core.decide import decide
from room_server.core.decision_types import Command, Facts
from room_server.core.messages import Entered
from room_server.ids import new_id
from room_server.state import commits
from room_server.state.keys import Keys
from room_server.state.records import Loaded, Records, Target
from room_server.state.redis.connect import CONNECTIONS
from room_server.state.redis.pipeline import Script

WEBINAR = "w"
ENTERED = msgspec.json.Decoder(Entered)


class Endpoint:
    """The endpoint. It lacks what makes ours a product: retries, deadlines, limits, refusals that say why."""

    def __init__(self, redis: Any, secret: str) -> None:
        self._secret = secret
        self._load, self._commit = (redis.register_script(Script.read(name).text) for name in ("load", "commit"))
        self._keys, self._records = Keys(1), Records()
        self.room: Facts | None = None

    async def entered(self, request: Request) -> Response:
        """Verify, load, decide, commit, answer."""
        token = request.headers["authorization"].removeprefix("Bearer ")
        actor = auth.actor(jwt.decode(token, self._secret, ["HS256"]))
        hook = ENTERED.decode(await request.body())
        target = Target(hook.webinar_id, str(hook.lead_id))
        loaded = Loaded(target=target, facts=self.room) if self.room else await self.loaded(target)
        change = decide(Command(id=new_id(), actor=actor, hook=hook), loaded.facts, utc_now())
        places, arguments = commits.arguments(self._keys, loaded, commits.commit_of(loaded, change, None))
        assert (await self._commit(places, arguments))[0] == b"committed"
        return Response(msgspec.json.encode(answer_to(hook, change)), media_type="application/json")

    async def loaded(self, target: Target) -> Loaded:
        """The facts, as they are stored."""
        keys, name = self._keys, target.webinar_id
        places = [keys.room(name), keys.participations(name), keys.roster(name), keys.watch(name)]
        replies = await self._load(places, [target.lead])
        facts = self._records.facts(name, replies)
        return Loaded(target=target, facts=facts, participation=replies[1] or b"", entry=replies[2] or b"")


def main(port: int, url: str, secret: str, *how: str) -> None:
    """Serve until the process is ended."""
    pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None)
    endpoint = Endpoint(
        Redis.from_url(url, single_connection_client=True) if "line" in how else Redis(connection_pool=pool), secret
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if "known" in how:
            endpoint.room = (await endpoint.loaded(Target(WEBINAR))).facts
        yield

    app = Starlette(
        routes=[Route("/hooks/client_webinar_entered", endpoint.entered, methods=["POST"])], lifespan=lifespan
    )
    uvicorn.run(app, port=port, log_level="error", access_log=False, loop="uvloop", http="httptools", backlog=4096)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
