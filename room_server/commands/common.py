"""What the subcommands share: options and argument types, settings, and work on an open store."""

import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec
import uvloop

from room_server import config
from room_server.clock import utc_now
from room_server.config import Settings
from room_server.core.bindings import Person
from room_server.core.messages import Actor, Role, WebinarId
from room_server.core.room import PublicRoom, Room
from room_server.errors import webinar_unknown
from room_server.state import bot, webinars
from room_server.state.startup import open_state
from room_server.state.store import Store
from room_server.telegram.deep_links import open_links
from room_server.transactions import Transactions

Command = TypeVar("Command", bound=Callable[..., Any])
OPERATOR = Actor(role=Role.SYSTEM, subject="operator")


class Text(click.ParamType[str]):
    """A text of the msgspec type `kind`; `expected` describes it in the error for any other."""

    def __init__(self, name: str, kind: Any, expected: str) -> None:
        self.name = name
        self._kind = kind
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, unchanged. A byte that is no UTF-8 is a surrogate here (PEP 383), which nothing can store."""
        try:
            text: str = msgspec.convert(value, self._kind)
            text.encode()
        except (msgspec.ValidationError, UnicodeEncodeError):
            self.fail(f"{value!r} is not {self._expected}", param, ctx)
        return text


ID = Text("ID", WebinarId, "a webinar id: 1-64 of A-Z a-z 0-9 _ -")


class Host(click.ParamType[str]):
    """A name or an address to listen on, also in the brackets that an IPv6 address has in a URL."""

    name = "HOST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The host without brackets. An empty one would mean all addresses, which nobody may choose by mistake."""
        host = str(value).strip()
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            is_name = bool(host.encode("idna")) and host.isprintable()
        except UnicodeError:
            is_name = False
        if not is_name:
            self.fail(f"{value!r} is no host; write 127.0.0.1, 0.0.0.0, :: or a name", param, ctx)
        return host


class Port(click.ParamType[int]):
    """A TCP port; 0 takes any that is free."""

    name = "PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", str(value)) or int(value) >= 2**16:
            self.fail(f"{value!r} is no port from 0 to 65535 (--port goes before the environment's PORT)", param, ctx)
        return int(value)


class Zone(click.ParamType[ZoneInfo]):
    """A time zone by its IANA name."""

    name = "ZONE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        """The zone."""
        if isinstance(value, ZoneInfo):
            return value
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"{value!r} is no time zone of the IANA database, such as Europe/Moscow", param, ctx)


class Moment(click.ParamType[datetime]):
    """A time with its offset from UTC (RFC 3339), or without one beside `--tz ZONE`; converted to UTC."""

    name = "ISO8601"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
            given = ctx.params.get("tz") if ctx else None
            zone = given if isinstance(given, ZoneInfo) else None  # click has a mark of its own for "not given"
            if moment.tzinfo is None and zone is None:
                hint = "end it with Z or an offset like +03:00, or add --tz Europe/Moscow"
                self.fail(f"{value!r} names no time zone; {hint}", param, ctx)
            if moment.tzinfo is not None and zone is not None:
                self.fail(f"{value!r} has an offset of its own; leave that or --tz out", param, ctx)
            return self._local(moment, zone).astimezone(UTC) if zone else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 2030-11-22T18:00:00+03:00", param, ctx)

    def _local(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The moment in the zone, whose clock must show it exactly once: clocks are put forward, and back."""
        first, second = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
        if first.utcoffset() != second.utcoffset():
            often = "twice" if first.astimezone(UTC) < second.astimezone(UTC) else "never"
            self.fail(f"the clocks of {zone.key} show {moment.isoformat()} {often}; write the offset from UTC")
        return first


def webinar_argument(command: Command) -> Command:
    """The argument ID, as `webinar_id`."""
    return click.argument("webinar_id", metavar="ID", type=ID)(command)


def state_options(command: Command) -> Command:
    """`--redis-url` and `--data-dir`, which override the environment."""
    return with_options(
        command,
        click.option("--redis-url", metavar="URL", help="A Redis or Valkey instead of the embedded server."),
        click.option("--data-dir", metavar="DIR", help="The embedded server's folder [default: .room-server]."),
    )


def _warn_of_past(ctx: click.Context, param: click.Parameter, planned: datetime | None) -> datetime | None:
    """The time unchanged; a warning on stderr when it has passed, since then its date is most likely mistyped."""
    if planned is not None and planned < utc_now():
        click.echo(f"warning: the planned time, {planned:%Y-%m-%d %H:%M} UTC, has passed", err=True)
    return planned


def at_options(**at: Any) -> Callable[[Command], Command]:
    """`--at`, with these attributes of an option, and `--tz`, which is read first."""
    zone = "The zone of an --at without an offset, such as Europe/Moscow."

    def add(command: Command) -> Command:
        return with_options(
            command,
            click.option("--at", "scheduled_at", type=Moment(), callback=_warn_of_past, **at),
            click.option("--tz", type=Zone(), is_eager=True, help=zone),
        )

    return add


def with_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with these options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def counted(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one: "1 lead", "2 leads"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def settings(**flags: Any) -> Settings:
    """The settings of flags and environment; likely mistakes are warned of on stderr. Raises ConfigurationError."""
    made = config.load(os.environ, **flags)
    for warning in config.warnings(os.environ):
        click.echo(f"warning: {warning}", err=True)
    return made


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run `work` on an event loop of its own; its result."""
    return uvloop.run(work)


def with_store(flags: dict[str, Any], work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Open the state that the flags name, do `work` with its store, close it; the result of `work`."""
    return with_transactions(flags, lambda transactions: work(transactions.store))


def with_transactions(flags: dict[str, Any], work: Callable[[Transactions], Awaitable[Any]]) -> Any:
    """As `with_store`, for work that writes."""
    made = settings(**flags)

    async def opened() -> Any:
        async with open_state(made) as state:
            return await work(Transactions(state.store, made.evaluation_grace))

    return run(opened())


async def load_room(store: Store, webinar_id: str) -> Room:
    """The record of a webinar. Raises Unknown, StateUnavailable."""
    room = (await store.load(webinar_id)).room
    if room is None:
        raise webinar_unknown(webinar_id)
    return room


async def listed(store: Store) -> list[PublicRoom]:
    """All webinars, the latest first; a warning on stderr when some are missing. Raises StateUnavailable."""
    rooms = await webinars.latest(store)
    if len(rooms) == webinars.LISTED:
        click.echo(f"warning: at most {webinars.LISTED} webinars are listed, those nearest in time", err=True)
    if store.unavailable:
        partitions = f"{len(store.unavailable)} of {len(store.keys.tags)} partitions do not answer"
        click.echo(f"warning: {partitions}; their webinars are missing here", err=True)
    return rooms


async def telegram_urls(made: Settings, store: Store, people: Iterable[Person]) -> dict[Person, str]:
    """The links that connect these people's Telegram; none while no worker has found out the bot's name."""
    name = await bot.name(store)
    if name is None:
        return {}
    links = await open_links(made, store)
    return {person: links.url(name, person) for person in people}
