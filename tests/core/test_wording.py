"""Every kind of wrong field is told in words: what would be right, and no pattern and no type of Python."""

import re
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from room_server.core.attendance_rule import MinWatch
from room_server.core.messages import INBOUND, Context, Entered, WebinarId
from room_server.core.planning import PlanWebinar
from room_server.core.registration import Lead
from room_server.core.room import Room
from room_server.core.site_hooks import SITE_HOOKS, CheckSite, ForgetLead, RegisterLeads, WithdrawLeads
from room_server.core.wording import in_words

MOMENT = "expected a time with its offset from UTC, such as 2030-11-22T18:00:00+03:00"
ADDRESS = "expected an address such as https://example.org/page, without blanks"
AN_ID = "expected 1 to 64 Latin letters, digits, hyphens and underscores"


def told(kind: Any, value: Any) -> tuple[str | None, str]:
    """How a value is refused that came as JSON."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    return in_words(str(caught.value), kind)


@pytest.mark.parametrize(
    ("kind", "wrong", "field", "fault"),
    [
        (PlanWebinar, {"webinar_id": "a b"}, "webinar_id", AN_ID),
        (Entered, {"lead_id": 1}, "timestamp", "the field is missing"),
        (PlanWebinar, {"title": 5}, "title", "expected a text, not a whole number"),
        (PlanWebinar, {"title": ""}, "title", "expected a text of at least 1 character"),
        (PlanWebinar, {"title": "x" * 201}, "title", "expected a text of at most 200 characters"),
        (PlanWebinar, {"scheduled_at": "tomorrow"}, "scheduled_at", MOMENT),
        (PlanWebinar, {"scheduled_at": "2030-11-22T18:00:00"}, "scheduled_at", MOMENT),
        (PlanWebinar, {"cta_url": "javascript:alert(1)"}, "cta_url", ADDRESS),
        (PlanWebinar, {"min_watch": "60"}, "min_watch", "expected a share of the time on air (60%) or minutes (30m)"),
        (PlanWebinar, {"grace": "soon"}, "grace", "expected whole seconds"),
        (PlanWebinar, {"grace": -1}, "grace", "expected a whole number, at least 0"),
        (PlanWebinar, {"attended_by": "x"}, "attended_by",
         "expected one of both, completed, either, watched, not 'x'"),
        (PlanWebinar, {"remind": ["1h", "2h"]}, "remind[1]", "expected one of 15m, 1h, 24h, start, not '2h'"),
        (PlanWebinar, {"unlisted": "no"}, "unlisted", "expected true or false or null, not a text"),
        (RegisterLeads, {"leads": [{"lead_id": 1, "locale": "de"}]}, "leads[0].locale", "expected ru or en"),
        (RegisterLeads, {"leads": [{"lead_id": 1, "partner_chat_id": "x"}]}, "leads[0].partner_chat_id",
         "expected a chat id, or its digits"),
        (RegisterLeads, {"leads": [{"name": "x"}]}, "leads[0].lead_id", "the field is missing"),
        (RegisterLeads, {"leads": []}, "leads", "expected a list of at least 1 entry"),
        (WithdrawLeads, {"lead_ids": ["0"]}, "lead_ids[0]", "expected a whole number from 1, or its digits"),
        (WithdrawLeads, {"lead_ids": [*range(1, 502)]}, "lead_ids", "expected a list of at most 500 entries"),
        (ForgetLead, {"lead_id": 0}, "lead_id", "expected a whole number, at least 1"),
        (CheckSite, {"nonce": []}, "nonce", "expected a text, not a list"),
        (Entered, {"lead_id": 1, "timestamp": "now"}, "timestamp", MOMENT),
        (Entered, {"lead_id": 1, "timestamp": {}}, "timestamp",
         "expected a whole number or a number or a time in RFC 3339, not an object"),
        (WebinarId, "", None, AN_ID),
        (Context, [], None, "expected an object, not a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words(kind: Any, wrong: Any, field: str | None, fault: str) -> None:
    value = {"webinar_id": "w", **wrong} if isinstance(wrong, dict) else wrong

    assert told(kind, value) == (field, fault)


@pytest.mark.parametrize("kind", [*INBOUND.values(), *SITE_HOOKS.values(), Room, Lead])
def test_every_pattern_has_words(kind: Any) -> None:
    """Else the answer would show the pattern, or nothing."""
    for node in re.findall(r"\{[^{}]*\"pattern\"[^{}]*\}", msgspec.json.encode(msgspec.json.schema(kind)).decode()):
        assert msgspec.json.decode(node).get("description"), node


def test_a_pattern_is_found_whatever_is_in_it() -> None:
    kind = Annotated[str, Meta(pattern='^it\'s "é" `x` - at$', description="these words")]

    assert told(kind, "other") == (None, "expected these words")
    assert told(MinWatch, "0%")[1] == "expected a share of the time on air (60%) or minutes (30m)"


def test_what_is_not_known_stays_as_it_is() -> None:
    assert in_words("Integer value out of range - at `$.grace`", PlanWebinar) == ("grace", "Integer value out of range")
