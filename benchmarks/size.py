"""How much is measured."""

from msgspec import Struct


class Size(Struct, frozen=True):
    """Numbers of a run; `scaled` makes a small one that only shows whether everything works."""

    sockets: int = 10_000
    rounds: int = 5
    handshakes: int = 5_000
    hooks: int = 8_000
    growth: tuple[int, ...] = (1_000, 2_000, 5_000, 10_000, 18_000)
    waves: int = 10
    changes: int = 1_000
    leads: tuple[int, ...] = (1_000, 10_000, 100_000)
    site_leads: int = 10_000
    rooms: int = 2_000
    dropping: int = 400

    def scaled(self) -> "Size":
        """A twentieth of everything, and few rounds."""
        return Size(
            sockets=self.sockets // 20,
            rounds=2,
            handshakes=self.handshakes // 20,
            hooks=self.hooks // 20,
            growth=tuple(sockets // 20 for sockets in self.growth),
            waves=3,
            changes=self.changes // 20,
            leads=tuple(leads // 20 for leads in self.leads[:2]),
            site_leads=self.site_leads // 20,
            rooms=self.rooms // 20,
            dropping=self.dropping // 20,
        )
