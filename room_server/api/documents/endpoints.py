"""GET /openapi.json and /asyncapi.json: each is made once, when it is first asked for."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from room_server.api.documents import asyncapi, openapi
from room_server.api.rooms import has


class Document:
    """A document as it is served."""

    def __init__(self, make: Callable[[str | None], dict[str, Any]], address: str | None) -> None:
        self._make = make
        self._address = address

    @cached_property
    def body(self) -> bytes:
        """The JSON."""
        return msgspec.json.encode(self._make(self._address))

    @cached_property
    def tag(self) -> str:
        """The ETag."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'

    def answer(self, request: Request) -> Response:
        """The document, or that the caller has it. Anybody may read it, from anywhere: it holds no secret."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if has(request, self.tag):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type="application/json", headers=headers)


class Documents:
    """The endpoints; `address` is the operator's PUBLIC_URL."""

    def __init__(self, address: str | None) -> None:
        self._openapi = Document(openapi.document, address)
        self._asyncapi = Document(asyncapi.document, address)

    async def openapi(self, request: Request) -> Response:
        """The interface over HTTP."""
        return self._openapi.answer(request)

    async def asyncapi(self, request: Request) -> Response:
        """The sockets and the stream of events."""
        return self._asyncapi.answer(request)
