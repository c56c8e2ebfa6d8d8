"""The tables of faults: what a round of chaos is dealt from, and what the rehearsal has. A fault more is a row more."""

from room_server.core.delivery import LEASE
from tests.chaos import process_faults as of_process
from tests.chaos import server_faults as of_server
from tests.chaos.faults import Fault, Row

WEBS = ("web-0", "web-1")
WORKERS = ("worker-0", "worker-1")
HOSTS = (*WEBS, *WORKERS)
COUPLES = ("couple-0", "couple-1", "couple-2")
READERS = ("readers",)
SHORT = (0.1, 3.0)
"""Seconds: less than a lease, so a message that is in hand stays there."""
PRIMARIES = ("primaries",)
"""One primary is away at a time: the others are a majority."""

EVERYWHERE = (
    Row("kill", ("web-0",), of_process.kill),
    Row("kill", ("worker-0",), of_process.kill),
    Row("freeze", WEBS, of_process.freeze, SHORT),
    Row("freeze", WORKERS, of_process.freeze, SHORT),
    Row("step the clock of", HOSTS, of_process.step),
    Row("drop", READERS, of_process.drop),
    Row("deafen", READERS, of_process.deafen, SHORT),
)
"""`web-1` and `worker-1` are never killed, and so can be weighed."""

EMBEDDED = (
    *EVERYWHERE,
    Row("kill", ("redis",), of_process.kill),
    Row("freeze", ("redis",), of_process.freeze, SHORT),
    Row("cut", HOSTS, of_process.cut),
    Row("half-close", HOSTS, of_process.half_close),
    Row("delay", HOSTS, of_process.delay, (0.1, 2.0)),
    Row("hang", HOSTS, of_process.hang, SHORT),
    Row("lose", HOSTS, of_process.lose),
)
"""On the embedded server, with a proxy on each process' way to it."""

ABSENT = (LEASE.total_seconds() + 4, LEASE.total_seconds() + 6)

SERVERS = (
    Row("pause", COUPLES, of_server.pause, (0.1, 1.2), alone=PRIMARIES),
    Row("kill", COUPLES, of_server.kill, alone=PRIMARIES),
    Row("depose", COUPLES, of_server.depose, (0.0, 2.0), alone=PRIMARIES),
    Row("strand", COUPLES, of_server.strand, (2.5, 4.0), begins=(0.9, 1.0), alone=PRIMARIES),
    Row("away", COUPLES, of_server.away, (0.0, 9.0), alone=(*PRIMARIES, *WEBS)),
    Row("dead", COUPLES, of_server.dead, (0.0, 9.0), alone=(*PRIMARIES, *WEBS)),
    Row("absent", COUPLES, of_server.absent, ABSENT, begins=(0.7, 1.0)),
)
"""On a Cluster of three primaries with a replica each, ROOM_SERVER_REPLICAS=1: three of them in each round."""

SET_BACK = (
    Row("kill", ("worker-0",), of_process.kill),
    Row("set back the clock of", ("redis",), of_server.set_back, begins=(1.0, 1.0)),
    Row("freeze", WORKERS, of_process.freeze, SHORT),
    Row("step the clock of", HOSTS, of_process.step),
    Row("drop", READERS, of_process.drop),
)
"""Dealt last, since no primary may die after it. Nor may a web process: its sign of life would hold until the clock
has caught up. The clock jumps when the webinars have been stopped, and wait for their evaluation."""


def rehearsed(place: int, seconds: float) -> list[Fault]:
    """What goes wrong in the rehearsal, of whose webinar the primary in this place is in charge: no chance in it."""
    mine, other, third = (COUPLES[(place + more) % len(COUPLES)] for more in range(len(COUPLES)))
    return [
        Fault(0.1 * seconds, Row("kill", (mine,), of_server.kill, alone=PRIMARIES), mine),
        Fault(0.2 * seconds, Row("hand over", (mine,), of_server.hand_over, alone=PRIMARIES), mine),
        Fault(0.5 * seconds, Row("kill", ("web-0",), of_process.kill), "web-0"),
        Fault(0.6 * seconds, Row("away", (other,), of_server.away, alone=(*PRIMARIES, *WEBS)), other),
        Fault(0.7 * seconds, Row("depose", (third,), of_server.depose, alone=PRIMARIES), third),
        Fault(seconds, Row("absent", (mine,), of_server.absent), mine, ABSENT[0]),
    ]
