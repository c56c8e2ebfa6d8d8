"""A site that hears, and a live webinar."""

from collections.abc import AsyncIterator

import pytest

from tests.site.receiver import SiteReceiver, site_receiver
from tests.site.sending import Sending, sending


@pytest.fixture
async def heard() -> AsyncIterator[SiteReceiver]:
    """A site that takes everything, unless told otherwise."""
    async with site_receiver() as running:
        yield running


@pytest.fixture
async def events(valkey_url: str, heard: SiteReceiver) -> AsyncIterator[Sending]:
    """A live webinar, and workers when the test wants them."""
    async with sending(valkey_url, heard) as running:
        yield running
