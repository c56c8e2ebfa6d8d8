"""The endpoints of a web process that only read."""

from msgspec import Struct

from room_server.api.attendance import Attendance, AttendanceAccess
from room_server.api.counts import Counts
from room_server.api.links import Links
from room_server.api.pages import FrameSources
from room_server.api.report import Reports
from room_server.api.rooms import Calls, Rooms
from room_server.auth import Authenticator
from room_server.config import Settings
from room_server.state.store import Store


class Readings(Struct, kw_only=True):
    """One object for each."""

    rooms: Rooms
    links: Links
    counts: Counts
    attendance: Attendance
    reports: Reports
    frame_sources: FrameSources


def readings(settings: Settings, store: Store, authenticator: Authenticator, calls: Calls) -> Readings:
    """Make them; each has a limit of its own of what one person may read."""
    per_person = settings.max_reads_per_person
    return Readings(
        rooms=Rooms(store, authenticator, per_person, calls),
        links=Links(store, settings),
        counts=Counts(store, authenticator, per_person),
        attendance=Attendance(store, AttendanceAccess(store, authenticator, per_person)),
        reports=Reports(store, AttendanceAccess(store, authenticator, per_person)),
        frame_sources=FrameSources(store),
    )
