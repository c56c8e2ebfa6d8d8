"""POST /hooks/{name} over real HTTP: the answers, and every row of the refusals."""

from room_server.state.store import Store  # noqa: F401 - placeholder
from tests.support import Site, room


async def test_a_start_turns_a_scheduled_webinar_live(site: Site) -> None:
    await site.store.create(room())
    answer = await site.status("start")
    assert answer.json() == {
        "webinar_id": "w",
        "duplicate": False,
        "status": "live",
        "version": 2,
        "cta_visibility": "hidden",
    }
