"""Calls of the Bot API that send no message. Their answers are read by us: the library reads an update as a whole, so
that one field that it does not expect would cost all updates of an answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from room_server.config import Settings
from room_server.core.incoming import whole_characters
from room_server.proxy import proxy_to

STEP_SECONDS = 5.0
"""Timeout of connecting, and of an answer that is not waited for on purpose."""
MOST_BYTES = 8 * 2**20
"""Most bytes of an answer: a hundred updates have less."""


class Hint(Struct, frozen=True):
    """What Telegram adds to a refusal."""

    retry_after: float = 0.0


class Result(Struct, frozen=True):
    """The answer to a call (Bot API, Making requests)."""

    ok: bool = False
    result: msgspec.Raw = msgspec.Raw(b"null")
    description: str = ""
    parameters: Hint = Hint()


class CallFailed(Exception):
    """The call was refused, or there was no answer: `status` is 0 then. `wait`: for how long Telegram wants to rest."""

    def __init__(self, status: int, description: str, wait: float = 0.0) -> None:
        super().__init__(f"{status}: {description}"[:200] if status else description[:200])
        self.status = status
        self.wait = wait


class Calls:
    """Calls the Bot API for one bot."""

    def __init__(self, client: httpx.AsyncClient, root: str) -> None:
        self._client = client
        self._root = root

    async def call(self, method: str, parameters: dict[str, Any], waits: float = 0.0) -> msgspec.Raw:
        """The result, for which Telegram may take `waits` seconds longer. Raises CallFailed."""
        try:
            content = msgspec.json.encode(parameters)
            async with self._client.stream(
                "POST",
                f"{self._root}/{method}",
                content=content,
                headers={"Content-Type": "application/json"},
                timeout=httpx.Timeout(STEP_SECONDS, read=STEP_SECONDS + waits),
            ) as answer:
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MOST_BYTES:
                        raise CallFailed(answer.status_code, "the answer is too long")
        except httpx.HTTPError as error:
            raise CallFailed(0, type(error).__name__) from None  # its text may hold the token
        try:
            found = _result(bytes(body))
        except ValueError:
            raise CallFailed(answer.status_code, "the answer is none of the Bot API's") from None
        if not found.ok:
            raise CallFailed(answer.status_code, found.description, found.parameters.retry_after)
        return found.result


def _result(body: bytes) -> Result:
    """The answer. Raises ValueError for what is none of the Bot API's."""
    try:
        return msgspec.json.decode(body, type=Result)
    except ValueError:
        return msgspec.json.decode(whole_characters(body), type=Result)


@asynccontextmanager
async def open_calls(settings: Settings) -> AsyncIterator[Calls]:
    """Calls for the bot of the settings, which have a token. Raises UnusableProxy."""
    setting = proxy_to(settings.telegram_base_url)
    root = f"{settings.telegram_base_url.rstrip('/')}/bot{settings.telegram_token}"
    async with httpx.AsyncClient(
        proxy=setting.proxy if setting else None, trust_env=False, verify=httpx.create_ssl_context()
    ) as client:
        yield Calls(client, root)
