"""Which answer each hook gets."""

import msgspec

from room_server.api.hook_answers import ANSWERS, answer_to
from room_server.api.hook_bodies import ACCEPTED
from room_server.core.decision_types import Change
from room_server.core.messages import Entered
from tests.core.builders import LEAD, attended, click, complete, cta, enter, room


def test_every_hook_has_an_answer_with_the_fields_that_all_have() -> None:
    assert set(ANSWERS) == set(ACCEPTED.values())
    for answer in ANSWERS.values():
        assert {"webinar_id", "duplicate"} <= set(answer.__struct_fields__)


def test_an_answer_says_what_became_of_the_room_or_of_the_lead() -> None:
    change = Change(room=room("live"), participation=attended())
    said = [msgspec.to_builtins(answer_to(hook, change)) for hook in (cta(), enter(), click(), complete())]

    assert isinstance(enter(), Entered)
    assert [list(answer) for answer in said] == [
        ["webinar_id", "duplicate", "status", "version", "cta_visibility"],
        ["webinar_id", "duplicate", "lead_id"],
        ["webinar_id", "duplicate", "lead_id"],
        ["webinar_id", "duplicate", "lead_id", "attended"],
    ]
    assert (said[3]["lead_id"], said[3]["attended"]) == (LEAD, True)
