"""What travels between this server and its clients and is named in more than one place: tokens, subprotocol, frames."""

from datetime import datetime

import msgspec
from msgspec import Struct

from room_server.core.room import Status

SUBPROTOCOL = "room.v1"
"""Of every socket (RFC 6455, 1.9); the server answers with it."""
BEARER = "room.bearer."
"""Before the token where a browser, which cannot set headers, offers it as a second subprotocol."""


class RoomVersion(Struct, frozen=True):
    """What is needed of a public room state without decoding all of it."""

    webinar_id: str
    epoch: str
    version: int
    status: Status
    started_at: datetime | None = None
    on_air_ms: int = 0
    on_air_since: datetime | None = None


ROOM_VERSION = msgspec.json.Decoder(RoomVersion)
"""Reads it from a public room state. Raises msgspec.MsgspecError."""


class Reconnect(Struct, frozen=True, tag_field="type", tag="reconnect"):
    """Sent when this process goes away: open the next socket in `after_ms` milliseconds. States come until then."""

    after_ms: int


def bearer_token(authorization: str) -> str | None:
    """The token of an `Authorization` header of the scheme Bearer (RFC 6750, 2.1); None for any other value."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
