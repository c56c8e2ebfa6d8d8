"""A Bot API and a webinar's messages beside it."""

from collections.abc import AsyncIterator

import pytest

from room_server.state.startup import open_state
from tests.support import settings_for
from tests.telegram.bot_api import TOKEN, BotApi, bot_api
from tests.telegram.outgoing import Outgoing


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """A Bot API that takes everything, unless told otherwise."""
    async with bot_api() as running:
        yield running


@pytest.fixture
async def outgoing(valkey_url: str, api: BotApi) -> AsyncIterator[Outgoing]:
    """Messages, and workers when the test wants them."""
    settings = settings_for(valkey_url, telegram_token=TOKEN, telegram_base_url=api.url)
    async with open_state(settings) as state:
        yield Outgoing(settings, state, api)
