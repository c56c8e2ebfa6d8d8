"""Read the stream of events of a room server: in order, each event at least once. See docs/events.md.

    python examples/read_events.py redis://localhost crm

prints one line per event; put your own work into `handle`. Needs the package `redis`, and no code of the room server.
"""

import argparse
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis

BATCH = 100
WAIT_MS = 1000
"""How long XREADGROUP waits for new entries of one stream before the next stream is read."""


class Event(NamedTuple):
    """One entry of a stream: `id` is the entry's, `hook` the name of the hook, `payload` its JSON object."""

    stream: str
    id: str
    hook: str
    payload: dict[str, Any]


def handle(event: Event) -> None:
    """Your own work. If it raises, or the process crashes before XACK, the event is delivered again: be repeatable."""
    print(event.id, event.hook, json.dumps(event.payload, ensure_ascii=False), flush=True)  # noqa: T201 - its work


def streams(client: Any) -> list[str]:
    """The streams of all partitions; a partition has none before its first hook."""
    return sorted(name.decode() for name in client.scan_iter("rs:{*}:events"))


def join(client: Any, stream: str, group: str) -> None:
    """Create the consumer group, from the oldest stored entry on, unless it exists."""
    try:
        client.xgroup_create(stream, group, id="0")
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def events(client: Any, group: str, consumer: str, wait: int | None) -> Iterator[Event]:
    """Read each stream once: first the entries that this consumer has not acknowledged, then new ones.

    `wait` is how long to wait for new entries (milliseconds); None does not wait.
    """
    for stream in streams(client):
        join(client, stream, group)
        for begin in ("0", ">"):
            for _, entries in client.xreadgroup(group, consumer, {stream: begin}, BATCH, wait):
                for number, fields in entries:
                    if fields:  # an entry that was trimmed from the stream has none
                        yield Event(stream, number.decode(), fields[b"hook"].decode(), json.loads(fields[b"payload"]))


def main() -> None:
    """Read without end; with --once, until there is nothing new."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url", help="the Redis or Valkey of the room server; unix://… for the embedded one")
    arguments.add_argument("group", help="name of the consumer group; each group gets every event")
    arguments.add_argument("--consumer", default=socket.gethostname(), help="name of this reader within the group")
    arguments.add_argument("--once", action="store_true", help="exit when there is nothing new")
    given = arguments.parse_args()
    with redis.from_url(given.url, protocol=2) as client:
        while True:
            count = 0
            for event in events(client, given.group, given.consumer, None if given.once else WAIT_MS):
                handle(event)
                client.xack(event.stream, given.group, event.id)
                count += 1
            if given.once and not count:
                return
            if not streams(client):
                time.sleep(1)  # no stream exists yet, so XREADGROUP has nothing to wait for


if __name__ == "__main__":
    main()
