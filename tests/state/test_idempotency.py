"""A signed request that comes again gets the answer it got."""

import asyncio
import hashlib

import pytest

from room_server.errors import Unauthenticated
from room_server.state.idempotency import KEPT, StoredAnswer, digest, recall, remember
from room_server.state.startup import State
from room_server.state.store import Store
from tests.proxy import proxy_to
from tests.state.acts import another

ASKED = digest("client_webinar_entered", b"{}")
ANSWERED = StoredAnswer(ASKED, b'{"duplicate":false}')


async def test_an_answer_is_recalled(any_store: Store) -> None:
    await remember(any_store, "msg_1", ANSWERED)

    assert await recall(any_store, "msg_1", ASKED) == ANSWERED.answer


async def test_a_new_id_is_unknown(any_store: Store) -> None:
    await remember(any_store, "msg_1", ANSWERED)

    assert await recall(any_store, "msg_2", ASKED) is None


@pytest.mark.parametrize(
    "other",
    [digest("client_webinar_entered", b"{ }"), digest("client_webinar_completed", b"{}")],
    ids=["another body", "another hook"],
)
async def test_an_id_cannot_be_used_for_another_request(any_store: Store, other: bytes) -> None:
    await remember(any_store, "msg_1", ANSWERED)

    with pytest.raises(Unauthenticated):
        await recall(any_store, "msg_1", other)


async def test_the_first_answer_stays(any_store: Store) -> None:
    first = await remember(any_store, "msg_1", ANSWERED)
    second = await remember(any_store, "msg_1", StoredAnswer(ASKED, b'{"duplicate":true}'))

    assert (first, second) == (ANSWERED.answer, ANSWERED.answer)
    assert await recall(any_store, "msg_1", ASKED) == ANSWERED.answer


async def test_the_same_request_many_times_at_once_gets_one_answer(any_store: Store) -> None:
    answers = [StoredAnswer(ASKED, str(number).encode()) for number in range(20)]
    given = await asyncio.gather(*(remember(any_store, "msg_1", answer) for answer in answers))

    assert {*given, await recall(any_store, "msg_1", ASKED)} == {given[0]}


async def test_of_two_requests_at_once_under_one_id_one_is_refused(any_store: Store) -> None:
    await remember(any_store, "msg_1", ANSWERED)

    with pytest.raises(Unauthenticated):
        await remember(any_store, "msg_1", StoredAnswer(digest("client_webinar_completed", b"{}"), b"{}"))


async def test_a_lost_reply_changes_no_answer(state: State) -> None:
    async with proxy_to(state.url) as proxy, another(proxy.url) as store:
        proxy.lose_reply_to(b"rs:webhook")

        assert await remember(store, "msg_1", ANSWERED) == ANSWERED.answer
        assert (await recall(state.store, "msg_1", ASKED), proxy.lost) == (ANSWERED.answer, 1)


async def test_an_answer_is_kept_twice_as_long_as_a_timestamp_holds(store: Store) -> None:
    await remember(store, "msg_1", ANSWERED)
    key = store.keys.webhook(hashlib.sha256(b"msg_1").hexdigest())

    assert KEPT - 5 < await store.call("TTL", key) <= KEPT == 2 * 300


async def test_an_id_of_any_characters_will_do(any_store: Store) -> None:
    for webhook_id in ("", "ключ", "a b:{c}\n", "\udce9", "x" * 5000):
        await remember(any_store, webhook_id, ANSWERED)

        assert await recall(any_store, webhook_id, ASKED) == ANSWERED.answer


def test_hook_and_body_do_not_run_into_each_other() -> None:
    assert digest("a", b"b\n") != digest("a\n", b"b")
    assert digest("hook", b"body") == digest("hook", b"body")
