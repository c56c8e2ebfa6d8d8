"""The codes of each hook. That each can be met, and no other, is shown in test_answers.py and test_operations.py."""

import pytest

from room_server.api.documents.refusals import CONFLICTS, codes_of
from room_server.api.hook_bodies import ACCEPTED
from room_server.core.site_hooks import CheckSite
from room_server.errors import PROBLEMS


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_hook_lists_each_code_once_but_for_states_that_share_one(name: str) -> None:
    conflicts = CONFLICTS.get(ACCEPTED[name], ())
    others = [code for code in codes_of(ACCEPTED[name]) if code not in conflicts]

    assert len(set(others)) == len(others)
    assert {PROBLEMS[code].status for code in conflicts} <= {409}


def test_a_hook_about_no_webinar_knows_no_unknown_one() -> None:
    assert "webinar_unknown" not in codes_of(CheckSite)
