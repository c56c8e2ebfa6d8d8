"""The classification decides the route, which is kept and emitted once."""

import pytest
from msgspec.structs import replace

from room_server.core.decision_types import Reaction
from room_server.core.messages import PostWebinarRoute, Route
from room_server.core.routing import route
from tests.core.builders import LEAD, NOW, WEBINAR, classified, context, entered


@pytest.mark.parametrize(("was_there", "way"), [(True, "attended"), (False, "not_attended")])
def test_the_route_follows_the_classification(was_there: bool, way: Route) -> None:
    expected = Reaction(
        participation=replace(entered(), route=way),
        emit=(PostWebinarRoute(lead_id=LEAD, webinar_id=WEBINAR, attended=was_there, timestamp=NOW, route=way),),
    )
    assert expected == route(classified(was_there), context())


def test_the_route_carries_the_time_of_the_classification_and_not_its_own() -> None:
    event = replace(classified(True), timestamp=NOW.replace(hour=1))

    emitted = route(event, context()).emit[0]
    assert isinstance(emitted, PostWebinarRoute)
    assert event.timestamp == emitted.timestamp


def test_a_route_without_a_participation_makes_none() -> None:
    assert route(classified(False), context(participation=None)).participation is None
