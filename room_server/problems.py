"""Refusals as problem JSON (RFC 9457), for Starlette or as raw bytes where there is no ASGI (sockets, bad requests)."""

from http import HTTPStatus

import msgspec
from msgspec import Struct
from starlette.responses import Response

from room_server.errors import PROBLEMS, Refusal

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:room-server:problem:"


class ProblemDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal as the caller reads it (RFC 9457). Decide by `code`; `field` is there where one is to blame."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None


def body(refusal: Refusal) -> bytes:
    """The JSON."""
    return msgspec.json.encode(
        ProblemDetails(
            type=TYPE + refusal.code,
            title=PROBLEMS[refusal.code].title,
            status=refusal.status,
            detail=refusal.detail.encode(errors="replace").decode(),
            code=refusal.code,
            field=refusal.field or None,
        )
    )


def response(refusal: Refusal) -> Response:
    """The answer over ASGI."""
    return Response(body(refusal), refusal.status, {"Cache-Control": "no-store", **refusal.headers}, MEDIA_TYPE)


def raw(refusal: Refusal) -> bytes:
    """The whole HTTP/1.1 answer with `Connection: close`; the caller of this function closes it."""
    content = body(refusal)
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(content)),
        "Connection": "close",
        "Cache-Control": "no-store",
        **refusal.headers,
    }
    lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content
