"""The site of `room-server demo`: an address of the demo itself that hears the events, and prints a line for each."""

import base64
import secrets
from typing import Any

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from room_server.auth import Authenticator
from room_server.config import Settings

PATH = "/demo/events"


class HeardEvent(Struct, frozen=True):
    """What the demo prints of an event."""

    type: str
    data: msgspec.Raw


class HeardEvents(Struct, frozen=True):
    """The events of a request."""

    events: list[HeardEvent]


class Heard(Struct, frozen=True):
    """A request."""

    data: HeardEvents


def with_own_site(settings: Settings, address: str) -> tuple[Settings, list[Route]]:
    """The settings with a receiver at `address`, and its route; both as they are when the settings name a receiver."""
    if settings.site_events_url:
        return settings, []
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    authenticator = Authenticator(replace(settings, hook_secret=secret))

    async def hear(request: Request) -> Response:
        body = await request.body()
        authenticator.signed(request.headers, body)  # raises Unauthenticated, which is answered 401
        for event in msgspec.json.decode(body, type=Heard).data.events:
            click.echo(f"the site hears  {event.type}  {bytes(event.data).decode()}")
        return Response(status_code=204)

    heard: dict[str, Any] = {"site_events_url": address + PATH, "site_events_secret": secret}
    return replace(settings, **heard), [Route(PATH, hear, methods=["POST"])]
