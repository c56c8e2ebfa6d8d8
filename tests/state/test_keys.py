"""Every key by name: a changed name loses what is stored under the old one."""

import binascii
import inspect
from collections import Counter

import pytest
from redis import Redis as BlockingRedis

from room_server.state.keys import OF_A_WEBINAR, PARTITIONS, PERMANENT, PREFIX, SLOTS, Keys, key_of, mark, slot, tags

KEYS = Keys(1)
NAMES = {
    "room": (KEYS.room("w"), "rs:{p2}:room:w"),
    "participations": (KEYS.participations("w"), "rs:{p2}:participations:w"),
    "roster": (KEYS.roster("w"), "rs:{p2}:roster:w"),
    "deliveries": (KEYS.deliveries("w"), "rs:{p2}:deliveries:w"),
    "tally": (KEYS.tally("w"), "rs:{p2}:tally:w"),
    "watch": (KEYS.watch("w"), "rs:{p2}:watch:w"),
    "links": (KEYS.links("w"), "rs:{p2}:links:w"),
    "link": (KEYS.link("digest"), "rs:link:digest"),
    "done": (KEYS.done("w", "id"), "rs:{p2}:done:id"),
    "staged": (KEYS.staged("w", "token"), "rs:{p2}:staged:token"),
    "warned": (KEYS.warned("w", "w:1"), "rs:{p2}:warned:w:1"),
    "events": (KEYS.events("p2"), "rs:{p2}:events"),
    "outbox": (KEYS.outbox("p2"), "rs:{p2}:outbox"),
    "urgent": (KEYS.urgent("p2"), "rs:{p2}:urgent"),
    "announcements": (KEYS.announcements("p2"), "rs:{p2}:announcements"),
    "due": (KEYS.due("p2"), "rs:{p2}:due"),
    "clock": (KEYS.clock("p2"), "rs:{p2}:clock"),
    "fates": (KEYS.fates("p2"), "rs:{p2}:fates"),
    "receivers": (KEYS.receivers("p2"), "rs:{p2}:receivers"),
    "receiver": (KEYS.receiver("p2", "id"), "rs:{p2}:receiver:id"),
    "parked": (KEYS.parked("p2", "id"), "rs:{p2}:parked:id"),
    "evaluations": (KEYS.evaluations("p2"), "rs:{p2}:evaluations"),
    "webinars": (KEYS.webinars("p2"), "rs:{p2}:webinars"),
    "archived": (KEYS.archived("p2"), "rs:{p2}:archived"),
    "forgotten": (KEYS.forgotten("p2"), "rs:{p2}:forgotten"),
    "erasures": (KEYS.erasures("p2"), "rs:{p2}:erasures"),
    "check": (KEYS.check("p2", "digest"), "rs:{p2}:check:digest"),
    "probe": (KEYS.probe("p2"), "rs:{p2}:probe"),
    "channel": (KEYS.channel("p2"), "rs:{p2}:rooms"),
    "bot": (KEYS.bot("bindings"), "rs:{telegram}:bindings"),
    "pace": (KEYS.pace("bot"), "rs:{pace}:bot"),
    "webhook": (KEYS.webhook("digest"), "rs:webhook:digest"),
    "nodes": (KEYS.nodes("p2"), "rs:{p2}:nodes"),
    "reports": (KEYS.reports("p2"), "rs:{p2}:words"),
    "PARTITIONS": (PARTITIONS, "rs:partitions"),
    "mark": (mark("rs:{p2}:room:w"), "rs:{p2}:mark"),
    "mark without braces": (mark("rs:webhook:digest"), "rs:{rs:webhook:digest}:mark"),
}
"""Each key as it is made and as it must be: of the webinar `w` in the only partition."""
NOT_KEYS = {"tag", "tags", "all_of", "to_delete", "of_commit"}


@pytest.mark.parametrize("kind", NAMES)
def test_the_name_of_a_key_stays(kind: str) -> None:
    actual, expected = NAMES[kind]

    assert actual == expected


def test_every_name_is_pinned_here() -> None:
    given = {name for name, _ in inspect.getmembers(KEYS) if not name.startswith("_")}

    assert given - NOT_KEYS <= NAMES.keys()


def test_every_name_has_the_prefix() -> None:
    assert [name for name, _ in NAMES.values() if not name.startswith(PREFIX)] == []


def test_the_keys_that_are_deleted_with_their_webinar_are_listed() -> None:
    assert KEYS.all_of("w") == [NAMES[kind][0] for kind in OF_A_WEBINAR]
    assert set(OF_A_WEBINAR) <= set(PERMANENT)


def test_a_commit_gets_each_key_under_its_kind() -> None:
    assert {kind: NAMES[kind][0] for kind in KEYS.of_commit("w", "id")} == KEYS.of_commit("w", "id")


def test_all_keys_of_a_webinar_share_a_slot() -> None:
    keys = Keys(64)
    tag = keys.tag("launch")
    of_it = [
        *keys.all_of("launch"),
        *(keys.done("launch", "a"), keys.staged("launch", "b"), keys.channel(tag), keys.events(tag)),
        *(keys.outbox(tag), keys.due(tag), keys.fates(tag), keys.evaluations(tag), keys.webinars(tag)),
        *keys.to_delete("launch", "a"),
    ]

    assert {slot(key) for key in of_it} == {slot(tag)}


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "rs:webhook:d"), "rs:webhook:d"),
        (("EVALSHA", "0" * 40, 2, "rs:{p2}:room:w", "rs:{p2}:roster:w", b"rs:said", "rs:said"), "rs:{p2}:room:w"),
        (("XREADGROUP", "GROUP", "senders", "me", "STREAMS", "rs:{p2}:outbox", ">"), "rs:{p2}:outbox"),
        (("PING",), PARTITIONS),
    ],
)
def test_the_first_key_of_a_command_is_found_in_it(command: tuple[object, ...], key: str) -> None:
    assert key_of(command) == key


def test_a_webinars_partition_is_its_crc32() -> None:
    keys = Keys(16)

    assert keys.tag("launch") == keys.tags[binascii.crc32(b"launch") % 16]


def test_slots_are_those_of_a_cluster(cluster_ports: list[int]) -> None:
    keys = Keys(256)
    asked = [*(keys.room(f"w-{number}") for number in range(200)), *keys.tags]
    odd = ["", "{}", "{}{a}", "a{b", "}{", "a}b{c}d{e}", "{{a}}", "x{}y", "ключ", "{ключ}"]

    with BlockingRedis(port=cluster_ports[0]) as client:
        expected = [client.cluster("KEYSLOT", key) for key in [*asked, *odd]]

    assert [slot(key) for key in [*asked, *odd]] == expected


@pytest.mark.parametrize("partitions", [1, 2, 3, 8, 16, 64, 100, 256, 1024])
def test_there_is_one_tag_for_each_partition(partitions: int) -> None:
    assert len(set(tags(partitions))) == partitions


@pytest.mark.parametrize("masters", [3, 16])
@pytest.mark.parametrize("partitions", [1, 3, 16, 64, 256])
def test_partitions_spread_evenly_over_the_masters(partitions: int, masters: int) -> None:
    """Primaries share the slots as `redis-cli --cluster create` assigns them."""
    share = SLOTS / masters
    borders = [round(number * share) for number in range(masters)]
    loads = Counter(sum(border <= slot(tag) for border in borders) - 1 for tag in tags(partitions))
    of_each = [loads[number] for number in range(masters)]

    assert max(of_each) - min(of_each) <= 1
