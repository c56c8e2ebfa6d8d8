"""The slots that this process saw leads in and that are not stored yet, by broadcast and lead."""

from collections.abc import Mapping

from room_server.state.watch import Broadcast

MAX_LEADS = 100_000
"""Leads that are kept while Redis is away; of any more, what was seen is lost."""


class SeenSlots:
    """Gathers slots; `take` hands them over to be stored."""

    def __init__(self) -> None:
        self._slots: dict[Broadcast, dict[int, int]] = {}
        self.leads = 0
        """Leads with slots that are not stored yet; one counts once a broadcast."""

    def add(self, broadcast: Broadcast, lead_id: int, slots: int) -> None:
        """The lead was seen in these slots (see core.watch_time); those of the same lead are OR-ed."""
        if not slots:
            return
        leads = self._slots.setdefault(broadcast, {})
        if lead_id not in leads:
            if self.leads >= MAX_LEADS:
                return
            self.leads += 1
        leads[lead_id] = leads.get(lead_id, 0) | slots

    def add_all(self, broadcast: Broadcast, seen: Mapping[int, int]) -> None:
        """Take back what could not be stored."""
        for lead_id, slots in seen.items():
            self.add(broadcast, lead_id, slots)

    def take(self) -> dict[Broadcast, dict[int, int]]:
        """Everything so far; from now on it is the caller's."""
        taken, self._slots, self.leads = self._slots, {}, 0
        return taken
