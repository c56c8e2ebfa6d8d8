"""The site's own hooks as typed values: which there are, and which bodies they take."""

import json
from typing import Any

import msgspec
import pytest

from room_server.core.messages import EMITTED, INBOUND
from room_server.core.registration import MAX_LEADS
from room_server.core.site_hooks import SITE_HOOKS, CheckSite, ForgetLead, WithdrawLeads
from tests.core.builders import WEBINAR


def decode(hook: str, **payload: Any) -> Any:
    return msgspec.json.decode(json.dumps(payload), type=SITE_HOOKS[hook])


def test_they_are_those_of_the_canon_and_no_events() -> None:
    assert set(SITE_HOOKS) == {
        *("core_webinar_plan", "core_webinar_pause", "core_webinar_resume", "core_webinar_archive"),
        *("core_webinar_cancel", "core_roster_register", "core_roster_withdraw", "core_lead_forget"),
        "core_site_check",
    }
    assert SITE_HOOKS.keys().isdisjoint({*INBOUND, *EMITTED})


@pytest.mark.parametrize("kind", SITE_HOOKS.values())
def test_a_hook_is_never_changed_after_it_was_made(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_lead_ids_are_numbers_or_texts_each_once() -> None:
    hook = decode("core_roster_withdraw", webinar_id=WEBINAR, lead_ids=["42", 7, 42])

    assert hook == WithdrawLeads(webinar_id=WEBINAR, lead_ids=(42, 7))
    assert decode("core_lead_forget", lead_id="42") == ForgetLead(lead_id=42)


@pytest.mark.parametrize(
    ("hook", "payload"),
    [
        ("core_roster_register", {"leads": []}),
        ("core_roster_register", {"leads": [{"lead_id": one} for one in range(1, MAX_LEADS + 2)]}),
        ("core_roster_register", {"leads": None}),
        ("core_roster_register", {}),
        ("core_roster_withdraw", {"lead_ids": []}),
        ("core_roster_withdraw", {"lead_ids": [*range(1, MAX_LEADS + 2)]}),
        ("core_roster_withdraw", {"lead_ids": [42.0]}),
        ("core_lead_forget", {}),
        ("core_lead_forget", {"lead_id": 0}),
        ("core_site_check", {"nonce": ""}),
        ("core_site_check", {"nonce": "x" * 65}),
        ("core_webinar_cancel", {"silent": "yes"}),
    ],
)
def test_a_body_that_says_too_little_or_too_much_is_refused(hook: str, payload: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(hook, webinar_id=WEBINAR, **payload)


def test_the_bounds_themselves_are_taken() -> None:
    leads = [{"lead_id": one} for one in range(1, MAX_LEADS + 1)]

    assert len(decode("core_roster_register", webinar_id=WEBINAR, leads=leads).leads) == MAX_LEADS
    assert decode("core_site_check", nonce="x" * 64) == CheckSite(nonce="x" * 64)
