"""GET /metrics: what is counted, who may read it, and that no metric names a person."""

import asyncio
import contextlib
import re
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from websockets.exceptions import InvalidStatus

from room_server.api.metrics import check_scraper
from room_server.core.room import RosterEntry
from room_server.core.site_delivery import Receiver
from room_server.errors import Unauthenticated
from room_server.state import roster
from room_server.telemetry.prometheus import FAMILIES
from tests.outage import own_redis
from tests.site.sending import known
from tests.support import AT, Site, eventually, next_state, room, serving, settings_for, state_where, wait_until

TOKEN = "a-token-for-the-scraper"
HOOK = "core_webinar_set_status"


async def scraped(http: httpx.AsyncClient, **headers: str) -> dict[str, float]:
    """Every sample, as `name{label="value"}`."""
    answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return samples(answer.text)


def samples(text: str) -> dict[str, float]:
    """What Prometheus' own parser reads."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


@pytest.fixture
async def live(site: Site) -> Site:
    """A site with a webinar `w` that is scheduled."""
    await site.transactions.create(room())
    return site


async def test_a_scrape_has_every_metric(live: Site) -> None:
    await known(live.store)
    names = {re.sub(r"(_bucket|_count|_sum)?(\{.*)?$", "", name) for name in await scraped(live.http)}

    assert names == FAMILIES.keys()


async def test_a_hook_is_counted_by_name_and_code_and_timed(live: Site) -> None:
    began = time.monotonic()
    await live.status("start")
    await live.status("start")
    await live.hook(HOOK, {"webinar_id": "w", "status": "sideways"})
    took = time.monotonic() - began
    await live.hook("no_such_hook_1", {})
    await live.hook("no_such_hook_2", {})
    shown = await scraped(live.http)

    assert shown[f'room_server_hooks_total{{code="ok",hook="{HOOK}"}}'] == 2
    assert shown[f'room_server_hooks_total{{code="webinar_status_mutation_forbidden",hook="{HOOK}"}}'] == 1
    assert shown['room_server_hooks_total{code="hook_unknown",hook="unknown"}'] == 2
    assert shown['room_server_hooks_total{code="ok",hook="client_webinar_entered"}'] == 0
    assert shown[f'room_server_hook_seconds_count{{hook="{HOOK}"}}'] == 3
    assert 0 < shown[f'room_server_hook_seconds_sum{{hook="{HOOK}"}}'] < took
    assert not any("no_such_hook" in name for name in shown)


async def test_sockets_are_counted_while_they_are_there_and_handshakes_for_ever(live: Site) -> None:
    async with live.socket() as one, live.socket("moderator") as other:
        await asyncio.gather(next_state(one), next_state(other))
        shown = await scraped(live.http)
        assert shown['room_server_sockets{role="attendee"}'] == shown['room_server_sockets{role="moderator"}'] == 1
    with pytest.raises(InvalidStatus):
        async with live.socket(token="junk"):
            pass
    await wait_until(lambda: not live.inside.admission.total, "both are gone")
    shown = await scraped(live.http)

    assert shown['room_server_sockets{role="attendee"}'] == 0
    assert shown['room_server_handshakes_total{outcome="accepted"}'] == 2
    assert shown['room_server_handshakes_total{outcome="unauthenticated"}'] == 1


async def test_a_change_is_timed_until_its_last_write_and_until_its_receipts(live: Site) -> None:
    async with live.socket() as one, live.socket() as other:
        await asyncio.gather(next_state(one), next_state(other))
        began = time.monotonic()
        await live.status("start")
        await asyncio.gather(state_where(one, status="live"), state_where(other, status="live"))
        counted = await eventually(lambda: reached(live, 2), "both receipts are counted")
        assert counted["room_server_frames_total"] == 2
        assert counted["room_server_broadcast_seconds_count"] == 1
        assert 0 < counted["room_server_broadcast_seconds_sum"] < time.monotonic() - began
        await live.status("stop")
        await asyncio.gather(state_where(one, status="finished"), state_where(other, status="finished"))
        await eventually(lambda: reached(live, 4), "those of the change before are kept")
    await wait_until(lambda: not live.inside.hub.groups, "nobody is left")
    shown = await scraped(live.http)

    assert shown["room_server_reach_seconds_count"] == 4
    assert 0 < shown["room_server_reach_seconds_sum"] < 4 * (time.monotonic() - began)
    assert shown['room_server_reach_seconds_bucket{le="82.0"}'] == 4


async def reached(site: Site, receipts: int) -> dict[str, float]:
    """The metrics, once so many receipts are in."""
    shown = await scraped(site.http)
    return shown if shown["room_server_reach_seconds_count"] >= receipts else {}


async def test_commits_that_met_are_counted(live: Site) -> None:
    await live.status("start")

    async def met() -> bool:
        shows = [{"webinar_id": "w", "visible": bool(number % 2)} for number in range(20)]
        await asyncio.gather(*(live.hook("core_webinar_set_cta_visibility", show) for show in shows))
        return (await scraped(live.http))["room_server_commit_conflicts_total"] > 0

    await eventually(met, "two of them decided on the same record")


async def test_a_gap_that_a_re_read_heals_is_counted(live: Site) -> None:
    async with live.socket() as socket:
        await next_state(socket)
        keys = live.store.keys
        (text,) = await live.store.public_texts(["w"])
        assert text is not None
        newer = text.replace(b'"version":1', b'"version":2').replace(b'"scheduled"', b'"live"')
        await live.raw.hset(keys.room("w"), "public", newer)
        await live.inside.reader.reread(keys.tag("w"))
        assert (await next_state(socket))["status"] == "live"

    assert (await scraped(live.http))["room_server_gaps_healed_total"] == 1


async def test_a_broken_subscription_is_counted_and_redis_up_is_0() -> None:
    async with own_redis() as server, serving(settings_for(server.url)) as site:
        assert (await scraped(site.http))["room_server_redis_up"] == 1
        await server.kill()
        shown = await eventually(lambda: cut_off(site), "the subscription is lost")
        assert "room_server_messages" not in str(sorted(shown))
        assert shown["room_server_heartbeat_age_seconds"] > 0
        await server.start()
        await eventually(lambda: back(site), "it is back")


async def cut_off(site: Site) -> dict[str, float]:
    """The metrics, once Redis is known to be away."""
    shown = await scraped(site.http)
    away = shown["room_server_subscriptions_lost_total"] and not shown["room_server_redis_up"]
    return shown if away and not shown["room_server_subscribed"] else {}


async def back(site: Site) -> bool:
    """Whether Redis is up and subscribed to again."""
    shown = await scraped(site.http)
    return bool(shown["room_server_redis_up"] and shown["room_server_subscribed"])


async def test_what_redis_is_asked_for_does_not_grow_with_the_scrapes(live: Site) -> None:
    await scraped(live.http)
    asked = (await live.raw.info("stats"))["total_commands_processed"]
    await asyncio.gather(*(scraped(live.http) for _ in range(20)))

    assert (await live.raw.info("stats"))["total_commands_processed"] - asked < 100


async def test_the_format_is_that_which_the_scraper_asks_for(live: Site) -> None:
    plain = await live.http.get("/metrics")
    open_metrics = await live.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")
    assert plain.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"])
async def test_where_a_token_is_set_it_is_needed(valkey_url: str, given: str) -> None:
    async with serving(settings_for(valkey_url, metrics_token=TOKEN)) as site:
        headers = {b"Authorization": given.encode("latin-1")} if given else {}
        refused = await site.http.get("/metrics", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert TOKEN not in refused.text
        assert await scraped(site.http, Authorization=f"bearer {TOKEN}")


async def test_a_token_may_have_letters_of_any_language(valkey_url: str) -> None:
    async with serving(settings_for(valkey_url, metrics_token="пароль")) as site:
        answer = await site.http.get("/metrics", headers={b"Authorization": "Bearer пароль".encode()})
        assert answer.status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_without_a_token_requests_through_a_proxy_are_refused(live: Site, header: str) -> None:
    refused = await live.http.get("/metrics", headers={header: "127.0.0.1"})

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert "ROOM_SERVER_METRICS_TOKEN" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("client", "may"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.9.1", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (None, True),
        (("", 0), True),
        (("10.0.0.5", 1), False),
        (("::ffff:10.0.0.5", 1), False),
        (("2001:db8::1", 1), False),
        (("testclient", 1), False),
    ],
)
def test_without_a_token_requests_from_this_machine_are_answered(client: tuple[str, int] | None, may: bool) -> None:
    """A Unix socket has no address, or an empty one."""
    request = Request({"type": "http", "headers": [], "client": client})
    refused = contextlib.nullcontext() if may else pytest.raises(Unauthenticated, match="from another machine")
    with refused:
        check_scraper(request, None)


async def test_no_metric_names_a_person_a_chat_a_webinar_or_a_token(site: Site) -> None:
    secret = room("launch-of-the-year", title="A title", scheduled_at=AT)
    await site.transactions.create(secret)
    person = RosterEntry(
        lead_id=918273, name="Анна Каренина", candidate_chat_id=555000111, partner_chat_id=-100555000222
    )
    await roster.import_roster(site.store, secret.webinar_id, [person], replace=False)
    async with site.socket("attendee", secret.webinar_id, claims={"sub": "918273"}) as socket:
        await next_state(socket)
        await site.status("start", secret.webinar_id)
        await site.entered(918273, secret.webinar_id)
        await site.status("stop", secret.webinar_id)
        await site.completed(918273, secret.webinar_id)
        text = (await site.http.get("/metrics")).text

    for word in ("launch", "A title", "918273", "Анна", "555000", "eyJ", TOKEN):
        assert word not in text


async def test_a_receiver_of_the_events_is_named_by_host_and_hash(live: Site) -> None:
    url = "https://me:hunter2@site.example/events?key=hunter3"
    await known(live.store, url, sent=7, gone=2, off_since=1, answers={"taken": 3, "gone": 1})
    await live.status("start")
    shown = await scraped(live.http)

    name = f'{{receiver="{Receiver.of(url).label}"}}'
    prefix = "room_server_site_events_"
    numbers = {part: shown[f"{prefix}{part}{name}"] for part in ("lag", "parked", "off", "sent_total", "lost_total")}
    assert numbers == {"lag": 1, "parked": 0, "off": 1, "sent_total": 7, "lost_total": 0}
    assert shown[f"{prefix}erased_total{name}"] == 2
    assert 0 <= shown[f"{prefix}oldest_seconds{name}"] < 60
    answers = {sample: value for sample, value in shown.items() if "answers_total" in sample}
    assert sorted(answers.values()) == [0, 0, 1, 3]
    assert "hunter" not in str(shown)
