"""Who meets which fault of Telegram in the story of a webinar: the answers that the Bot API on loopback gives them.

Every group is a fixed part of the leads, so that the right outcome of each person is known beforehand.
"""

from collections import deque
from collections.abc import Iterable

from starlette.responses import Response

from tests.telegram.bot_api import Answer, BotApi, flood, plain, refuse, take_and_cut, take_and_hang

GROUP, SUPERGROUP = -9, -1009
"""The group of some leads' partner, by the roster; and what Telegram made of it."""
FORBIDDING, FLOODED, CUT = 505, 506, 507
"""Chats of partners: one that blocks the bot without a word, one in flood, one whose line is cut once."""
DEACTIVATED = "Forbidden: user is deactivated"
BLOCKED = "Forbidden: bot was blocked by the user"
NOT_FOUND = "Chat not found"


async def drop(_: BotApi, __: int, ___: str) -> Response:
    """The message does not arrive, and the line is cut before the answer is whole."""
    return Response(b"{", headers={"Content-Length": "100"})


class Faults:
    """The leads of each fault; the other leads meet none."""

    def __init__(self, api: BotApi, leads: range) -> None:
        self._api = api
        self.flooded = set(leads[2::10])
        """Their chats are in flood when they connect, at the start and at the end; so many at once that the bot is."""
        self.gone = set(leads[7::20])
        """They connect, and then their account is deactivated, of which no update tells."""
        self.unknown = set(leads[8::20])
        """The roster has a chat for them that there is not; they never press the link."""
        self.in_group = set(leads[11::20])
        """Their partner reads in a group, which becomes a supergroup."""
        self.cut = set(leads[13::20])
        self.hung = set(leads[15::20])
        """That it has started arrives, and its answer is cut off, or does not come in time: they hear it twice."""
        self.doubted = set(leads[14::20])
        """Its answer is cut off both times: they hear it twice, and the message is parked."""
        self.refused = set(leads[16::20])
        """First a firewall in Telegram's place, then a 429 without a time: they hear everything once, later."""
        self.unanswered = set(leads[17::20])
        """The reply to their first /start is lost with a 502, and so may be what tells of the first new time."""
        self.dropped = set(leads[18::20])
        """That it has started does not arrive, and nor does an answer; it comes later, once."""
        self.late = self.flooded | self.cut | self.hung | self.doubted | self.refused | self.dropped
        """Who may hear later than others that it has started."""

    def while_connecting(self) -> None:
        """Prepare the faults of the replies to /start."""
        self._meet(self.flooded, flood(1))
        self._meet(self.refused, plain("<html>The firewall</html>", 403))
        self._meet(self.unanswered, plain("<html>", 502))
        self._meet(self.dropped, take_and_cut)  # a reply is not repeated

    def while_moving(self) -> None:
        """Prepare those of messages about a new time; some chats are closed and the group is upgraded from now on."""
        self._api.always |= {1000 + one: refuse(403, DEACTIVATED) for one in self.gone}
        self._api.always |= {1000 + one: refuse(400, f"Bad Request: {NOT_FOUND.lower()}") for one in self.unknown}
        self._api.always[FORBIDDING] = refuse(403, BLOCKED)
        self._api.always[GROUP] = refuse(
            400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=SUPERGROUP
        )
        self._meet(self.unanswered, plain("<html>", 502))
        self._meet(self.flooded, flood(1))

    def while_moving_again(self) -> None:
        """Take back the 5xx that nobody has met yet: the worker would wait for half a minute."""
        self._meet(self.unanswered)

    def while_starting(self) -> None:
        """Prepare those of the messages that it has started, and of those that tell partners who has come."""
        self._meet(self.flooded, flood(1))
        self._meet(self.cut, take_and_cut)
        self._meet(self.hung, take_and_hang)
        self._meet(self.doubted, take_and_cut, take_and_cut)
        self._meet(self.refused, refuse(429, "Too Many Requests"))
        self._meet(self.dropped, drop)
        self._api.next[FLOODED].append(flood(1))
        self._api.next[CUT].append(take_and_cut)

    def while_ending(self, with_trouble: bool) -> None:
        """Prepare those of the follow-ups; `with_trouble`: also a 5xx, after which half a minute is waited."""
        self._meet(self.flooded, flood(1))
        self._meet(self.dropped, drop)
        if with_trouble:
            self._meet(self.unanswered, plain("<html>", 502))

    def _meet(self, leads: Iterable[int], *answers: Answer) -> None:
        """The next messages to these leads get these answers, and no others that were left."""
        for one in leads:
            self._api.next[1000 + one] = deque(answers)

    def are_met(self, leads: Iterable[int]) -> bool:
        """Whether these leads have met all that was prepared for them."""
        return not any(self._api.next[1000 + one] for one in leads)
