"""What a web process counts of its sockets, for the metrics."""

from collections import Counter

from room_server.channels.handshake import Admission
from room_server.channels.hub import Hub
from room_server.channels.listener import Listener
from room_server.core.messages import Role
from room_server.core.receipt_stats import BOUNDS_MS
from room_server.telemetry.histogram import Histogram
from room_server.telemetry.prometheus import P, Samples


def socket_metrics(hub: Hub, admission: Admission, listener: Listener) -> Samples:
    """What this process counts of its sockets and of its subscriptions to Redis."""
    roles = Counter[str]()
    for group in hub.groups.values():
        roles.update(group.roles)
    receipts = hub.tally.answers(group.receipts for group in hub.groups.values())
    return {
        **{(P + "sockets", role.value): roles[role] for role in Role},
        **{(P + "handshakes_total", code): count for code, count in {"accepted": 0, **admission.answered}.items()},
        (P + "sockets_refused_to_persons_total",): admission.refused_to_persons,
        (P + "frames_total",): hub.tally.frames,
        (P + "socket_writers", hub.writer.form): 1,
        (P + "gaps_healed_total",): hub.tally.healed,
        (P + "subscribed",): int(listener.subscribed.is_set()),
        (P + "subscriptions_lost_total",): listener.lost,
        **hub.tally.writing.series(P + "broadcast_seconds"),
        **Histogram.of_counts([bound / 1000 for bound in BOUNDS_MS], receipts).series(P + "reach_seconds"),
    }
