import pytest

from room_server.channels.crowd import Crowd, scope_watched, watching
from room_server.channels.frames import room_state
from room_server.channels.receipts import Receipts


@pytest.mark.parametrize("scope", ["*", "w", "counts"])
def test_a_crowd_that_watches_the_counts_is_no_room(scope: str) -> None:
    assert scope_watched(watching(scope)) == scope
    assert scope_watched(scope) is None


def test_an_answer_counts_for_the_newest_change_only() -> None:
    old, new = (
        room_state(b'{"webinar_id":"w","epoch":"e","version":%d,"status":"live"}' % version) for version in (1, 2)
    )
    crowd = Crowd("w")
    crowd.receive(new, 1.0)
    crowd.state, crowd.receipts = new, Receipts("e", 2, 2, 10.0)

    crowd.receive(old, 10.1)
    crowd.receive(new, 10.2)

    assert sum(crowd.receipts.told().buckets) == 1
