"""Read the hooks that a room server keeps, in order, each at least once, whatever crashes: docs/events.md.

    python examples/read_events.py redis://localhost crm

prints a line per hook; put your own work in `handle`. Needs the package `redis` and nothing of the room server's.
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
"""How long a stream is listened to before the next one is."""


class Event(NamedTuple):
    """A hook as it stands in the stream."""

    stream: str
    id: str
    hook: str
    payload: dict[str, Any]


def handle(event: Event) -> None:
    """Do what is to be done. Raise, and the event comes again; a crash after it is done brings it again, too."""
    print(event.id, event.hook, json.dumps(event.payload, ensure_ascii=False), flush=True)  # noqa: T201 - its work


def streams(client: Any) -> list[str]:
    """The streams of all partitions; a partition has one from its first hook on."""
    return sorted(name.decode() for name in client.scan_iter("rs:{*}:events"))


def join(client: Any, stream: str, group: str) -> None:
    """Make the group, from the beginning of what is kept, unless it is there."""
    try:
        client.xgroup_create(stream, group, id="0")
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def events(client: Any, group: str, consumer: str, wait: int | None) -> Iterator[Event]:
    """First what this consumer was given and never acknowledged, then what is new; one round of all streams."""
    for stream in streams(client):
        join(client, stream, group)
        for begin in ("0", ">"):
            for _, entries in client.xreadgroup(group, consumer, {stream: begin}, BATCH, wait):
                for number, fields in entries:
                    if fields:  # one that was trimmed has none
                        yield Event(stream, number.decode(), fields[b"hook"].decode(), json.loads(fields[b"payload"]))


def main() -> None:
    """Read for ever, or until there is nothing new."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url", help="the Redis or Valkey of the room server; unix://… for the embedded one")
    arguments.add_argument("group", help="who reads: each group gets every hook once")
    arguments.add_argument("--consumer", default=socket.gethostname(), help="which of the group's readers this is")
    arguments.add_argument("--once", action="store_true", help="end when there is nothing new")
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
                time.sleep(1)  # there was no hook yet, so there is nothing to wait on


if __name__ == "__main__":
    main()
