"""The AsyncAPI 3 document: the frames of the sockets and the events of the stream, in the types that the code uses."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import NamedTuple
from urllib.parse import urlsplit

from room_server.api.counts import Counted
from room_server.api.documents import webhooks
from room_server.api.documents.document import TITLE, Json, ref, schemas
from room_server.api.documents.openapi import LICENSE
from room_server.api.documents.operations import description_of
from room_server.core.messages import STREAMED, Role
from room_server.core.permissions import MAY_READ, Reading
from room_server.core.room import PublicRoom
from room_server.core.site_event import SiteRequest
from room_server.core.wire import BEARER, SUBPROTOCOL, Reconnect
from room_server.errors import CLOSE_CODES, PROBLEMS, CloseCode
from room_server.problems import ProblemDetails
from room_server.state.keys import Keys

ABOUT = """\
What a room server sends without being asked each time: states to whoever holds a socket on a room, counts to monitors,
and every hook to whoever reads the stream of events, and to the site. Hooks and everything else over HTTP are in
`/openapi.json`.

The sockets are read-only: a data frame from the client closes them. Each frame is one whole JSON object in one text
frame. Of room states the highest `version` stands, and another `epoch` always replaces. More fields may be added.
"""
HANDSHAKE = (
    "malformed_request",
    "subprotocol_unsupported",
    "unauthenticated",
    "forbidden_origin",
    "forbidden_role",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "head_too_large",
    "state_unavailable",
    "too_many_sockets",
    "draining",
)
"""Codes with which any handshake may be refused, by a plain HTTP answer."""


class Channel(NamedTuple):
    """A kind of socket: its frames by name, the roles it is for, the codes of its refusals, and its close codes."""

    address: str
    description: str
    frames: Mapping[str, type]
    roles: frozenset[Role]
    codes: tuple[str, ...]
    closes: frozenset[CloseCode]


SOCKETS: dict[str, Channel] = {
    "room": Channel(
        address="/rooms/{webinar_id}/socket",
        description="The room's state: at once when the socket opens, then with each change.",
        frames={"state": PublicRoom, "reconnect": Reconnect},
        roles=MAY_READ[Reading.ROOM],
        codes=(*HANDSHAKE, "forbidden_webinar", "webinar_unknown"),
        closes=frozenset(CLOSE_CODES),
    ),
    "monitor": Channel(
        address="/monitor/socket",
        description="The counts that `GET /monitor/counts` answers, every second.",
        frames={"counts": Counted, "reconnect": Reconnect},
        roles=MAY_READ[Reading.COUNTS],
        codes=HANDSHAKE,
        closes=frozenset(CLOSE_CODES) - {CloseCode.WEBINAR_GONE},
    ),
}
SITE = {"site_events": SiteRequest}
PARAMETERS = {
    "webinar_id": {"description": "The webinar."},
    "tag": {
        "description": f"The partition's tag, its braces included. `SCAN 0 MATCH {Keys.events('*')}` finds them all."
    },
}
SECURITY: dict[str, Json] = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "For all but browsers."},
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": f"For browsers: `{BEARER}` and the token, offered beside `{SUBPROTOCOL}`.",
    },
}


def document(address: str | None) -> Json:
    """The whole document. `address` is the server's public address; without one the host is a variable."""
    frames = {name: kind for socket in SOCKETS.values() for name, kind in socket.frames.items()}
    kinds = schemas([*frames.values(), *STREAMED.values(), *webhooks.KINDS, ProblemDetails])
    webhooks.refine(kinds)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": version(TITLE), "description": ABOUT, "license": {"name": LICENSE["name"]}},
        "defaultContentType": "application/json",
        "servers": _servers(address),
        "channels": {name: _socket(socket) for name, socket in SOCKETS.items()}
        | {"events": _stream(), "site": _site()},
        "operations": {
            **{f"push_{name}": _send(name, socket.description, socket.frames) for name, socket in SOCKETS.items()},
            "append_events": _send("events", "Every hook that was accepted or emitted, in order.", STREAMED),
            "post_site_events": _send("site", webhooks.SUMMARY, SITE),
        },
        "components": {
            "schemas": kinds,
            "messages": {name: _message(name, kind) for name, kind in {**frames, **STREAMED, **SITE}.items()},
            "securitySchemes": SECURITY,
        },
    }


def _servers(address: str | None) -> Json:
    parts = urlsplit(address or "")
    web: Json = {"protocol": "wss" if parts.scheme == "https" else "ws", "description": "The web processes."}
    if address:
        web |= {"host": parts.netloc, **({"pathname": parts.path.rstrip("/")} if parts.path.strip("/") else {})}
    else:
        web |= {"host": "{host}", "variables": {"host": {"default": "localhost:8000"}}}
    redis = {
        "host": "{host}",
        "variables": {"host": {"default": "localhost:6379"}},
        "protocol": "redis",
        "description": "The Redis or Valkey of the installation.",
    }
    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY]
    return {"web": {**web, "security": security}, "redis": redis}


def _socket(socket: Channel) -> Json:
    headers = {
        "type": "object",
        "required": ["Sec-WebSocket-Protocol"],
        "properties": {
            "Sec-WebSocket-Protocol": {"type": "string", "description": f"`{SUBPROTOCOL}`, which is what is answered."},
            "Authorization": {"type": "string", "description": "`Bearer` and the token."},
            "Origin": {"type": "string", "description": "Sent by browsers; it must be the server's own or allowed."},
        },
    }
    refusals = {code: PROBLEMS[code]._asdict() for code in sorted(socket.codes)}
    closes = {str(code.value): {"client": verdict.value, "reason": reason}
              for code, (verdict, reason) in sorted(CLOSE_CODES.items()) if code in socket.closes}  # fmt: skip
    return {
        "address": socket.address,
        "description": f"{socket.description} Roles: {', '.join(sorted(socket.roles))}.",
        "servers": [{"$ref": "#/servers/web"}],
        **_parameters(socket.address),
        "messages": _messages(socket.frames),
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
        "x-refusals": {"payload": ref(ProblemDetails), "headers": ["Retry-After"], "codes": refusals},
        "x-close-codes": closes,
    }


def _stream() -> Json:
    address = Keys.events("tag")
    return {
        "address": address,
        "description": "A Redis Stream per partition. Each entry has the fields `hook`, `request_id`, `actor` "
        "(JSON; empty for what the server itself emits) and `id`, headers here, and `payload`.",
        "servers": [{"$ref": "#/servers/redis"}],
        **_parameters(address),
        "messages": _messages(STREAMED),
    }


def _site() -> Json:
    return {
        "address": None,
        "description": "Each address of `ROOM_SERVER_SITE_EVENTS_URL`. The answers are in `/openapi.json`, `webhooks`.",
        "messages": _messages(SITE),
        "bindings": {"http": {"bindingVersion": "0.3.0"}},
    }


def _parameters(address: str) -> Json:
    named = {name: PARAMETERS[name] for name in re.findall(r"\{(\w+)\}", address)}
    return {"parameters": named} if named else {}


def _messages(frames: Mapping[str, type]) -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in frames}


def _send(channel: str, summary: str, frames: Mapping[str, type]) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in frames],
    }


def _message(name: str, kind: type) -> Json:
    return {"name": name, "summary": description_of(kind), **_message_headers(name), "payload": ref(kind)}


def _message_headers(name: str) -> Json:
    """Those of an event of the stream, or of a request to the site; a frame has none."""
    text: Json = {"type": "string"}
    properties: Json = {}
    if name in STREAMED:
        properties = {"hook": {"const": name}, "request_id": text, "actor": text}
    elif name in SITE:
        properties = {header: {**text, "description": told} for header, told in webhooks.HEADERS.items()}
    required = list(properties)
    if name in STREAMED:  # entries from before have no id
        properties["id"] = {**text, "description": "Names the fact for good."}
    return {"headers": {"type": "object", "required": required, "properties": properties}} if properties else {}
