"""Settings from the environment (`ROOM_SERVER_…`). All that is wrong is reported at once, by the setting's name.

Secrets are hidden when the settings are printed.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import FloatType, IntType, LiteralType, UnionType

from room_server.addresses import check_bot_api, check_receiver, check_redis_url, check_root, origin_of, shown
from room_server.errors import ConfigurationError

PREFIX = "ROOM_SERVER_"
Count = Annotated[int, Meta(ge=0, le=10**9)]
Seconds = Annotated[float, Meta(ge=0, le=10**8)]
TELEGRAM_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
SECRETS = frozenset({
    *("token_secret", "hook_secret", "telegram_token", "metrics_token", "redis_url"),
    *("site_events_url", "site_events_secret"),
})  # fmt: skip
SECRET_BYTES = 32
"""The least length of a key for HS256, that of its hash (RFC 7518, 3.2)."""


class Settings(Struct, frozen=True, kw_only=True):
    """One field per setting, named in the environment in capitals after PREFIX; docs/operations.md explains each.

    A limit of 0 is no limit.
    """

    redis_url: str | None = None
    data_dir: Annotated[str, Meta(min_length=1)] = ".room-server"
    token_secret: str = ""
    token_public_key: str = ""
    hook_secret: str = ""
    site_events_url: str = ""
    site_events_secret: str = ""
    telegram_token: str | None = None
    telegram_base_url: str = "https://api.telegram.org"
    telegram_updates: Literal["poll", "webhook", "off"] = "poll"
    evaluation_grace: Seconds = 120
    allowed_origins: str = ""
    public_url: str | None = None
    partitions: Annotated[int, Meta(ge=1, le=1024)] | None = None
    replicas: Count = 0
    live_hours: Annotated[int, Meta(ge=0, le=10_000)] = 12
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    log_format: Literal["console", "json"] = "console"
    metrics_token: str | None = None
    drain_seconds: Seconds = 20
    stall_seconds: Annotated[float, Meta(gt=0, le=10**8)] = 20
    socket_writer: Literal["auto", "io_uring", "write"] = "auto"
    max_sockets: Count = 20_000
    max_sockets_per_person: Count = 10
    max_handshakes: Count = 0
    max_hooks_per_person: Count = 50
    max_reads_per_person: Count = 5
    max_requests_per_address: Count = 0

    def token_secrets(self) -> tuple[str, ...]:
        """The secrets of the tokens: the first signs, all verify."""
        return tuple(self.token_secret.split())

    def hook_secrets(self) -> tuple[bytes, ...]:
        """The keys of signed requests, decoded from `whsec_…` (Standard Webhooks)."""
        return tuple(_hook_key(secret) for secret in self.hook_secret.split())

    def site_urls(self) -> tuple[str, ...]:
        """The receivers of the events, with the passwords that their addresses may hold."""
        return tuple(self.site_events_url.split())

    def site_secrets(self) -> tuple[bytes, ...]:
        """The keys that sign the events: each request has a signature by each."""
        return tuple(_hook_key(secret) for secret in (self.site_events_secret or self.hook_secret).split())

    def origins(self) -> frozenset[str]:
        """Sites that may open sockets, read answers (CORS) and embed the pages, besides the server's own host."""
        return frozenset(map(origin_of, _listed(self.allowed_origins)))

    def path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().absolute()

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        shown = {name: "…" if name in SECRETS and value else value for name, value in values.items()}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """The settings in `environ`; an override that is not None takes precedence. Raises ConfigurationError."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(Settings):
        raw = environ.get(PREFIX + field.name.upper(), "").strip()
        given = overrides.get(field.name)
        if given is None and not raw:
            continue
        try:
            values[field.name] = _converted(field, _encodable(raw if given is None else given))
        except ValueError as error:
            problems.append(f"{PREFIX}{field.name.upper()}: {error}")
    if problems := [*problems, *_semantic_problems(values)]:
        raise ConfigurationError("\n".join(problems))
    return Settings(**values)


def warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """A text for each thing that works and is probably a mistake."""
    known = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name not in known):
        yield f"{name} is no setting of room-server"


def _encodable(given: Any) -> Any:
    """`given` as it is. Raises ValueError for a text that was no UTF-8, or that no address, file or header can hold."""
    if isinstance(given, str) and re.search("[\0\ud800-\udfff]", given):
        raise ValueError("this is no text in UTF-8")
    return given


def _converted(field: msgspec.structs.FieldInfo, given: Any) -> Any:
    """The value as the field's type. Raises ValueError, which says what would be right."""
    try:
        return msgspec.convert(given, field.type, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"expected {_expected(msgspec.inspect.type_info(field.type))}, not {shown(given)}") from None


def _expected(kind: msgspec.inspect.Type) -> str:
    match kind:
        case UnionType(types=(one, _)):
            return _expected(one)
        case LiteralType(values=values):
            return " or ".join(map(str, values))
        case IntType() | FloatType():
            number = "a whole number" if isinstance(kind, IntType) else "a number"
            least = f"at least {kind.ge}" if kind.ge is not None else f"more than {kind.gt}"
            return f"{number}, {least} and at most {kind.le}"
        case _:
            return "a text"


def _semantic_problems(values: dict[str, Any]) -> Iterator[str]:
    checks: dict[str, Callable[[str], object]] = {
        "redis_url": check_redis_url,
        "public_url": check_root,
        "telegram_base_url": check_bot_api,
        "telegram_token": _check_telegram_token,
        "token_secret": _check_token_secret,
        "hook_secret": lambda text: [_hook_key(secret) for secret in text.split()],
        "site_events_secret": lambda text: [_hook_key(secret) for secret in text.split()],
        "site_events_url": _check_receivers,
        "allowed_origins": lambda text: [origin_of(given) for given in _listed(text)],
    }
    wrong = set()
    for name, check in checks.items():
        try:
            if name in values:
                check(values[name])
        except ValueError as error:
            wrong.add(name)
            yield f"{PREFIX}{name.upper()}: {error}"
    if "site_events_url" in values.keys() - wrong:
        yield from _secret_problems(values)
    if values.get("telegram_updates") == "webhook" and "public_url" not in values:
        yield f"{PREFIX}TELEGRAM_UPDATES: a webhook needs {PREFIX}PUBLIC_URL, the address at which Telegram finds us"
    if values.get("replicas") and "redis_url" not in values:
        yield f"{PREFIX}REPLICAS: the embedded server has no replicas; it goes with {PREFIX}REDIS_URL"


def _check_receivers(text: str) -> None:
    """Raises ValueError, which shows no password."""
    urls = text.split()
    if len({check_receiver(url) for url in urls}) < len(urls):
        raise ValueError("each address is there once, whatever its password")


def _secret_problems(values: dict[str, Any]) -> Iterator[str]:
    """Whoever knows HOOK_SECRET acts as `system`: no more than one receiver may know it."""
    name, hook, own = f"{PREFIX}SITE_EVENTS_SECRET", values.get("hook_secret"), values.get("site_events_secret")
    if not (own or hook):
        yield f"{PREFIX}SITE_EVENTS_URL: the events are signed, and there is no secret: set {name} (whsec_…)"
    elif len(values["site_events_url"].split()) > 1 and set((own or hook or "").split()) & set((hook or "").split()):
        yield (
            f"{name}: several receivers may not share {PREFIX}HOOK_SECRET, since whoever knows it acts as `system`; "
            "give the events a secret of their own"
        )


def _check_token_secret(text: str) -> None:
    """Raises ValueError, which shows no secret."""
    secrets = text.split()
    shortest = min(len(secret.encode()) for secret in secrets)
    if shortest < SECRET_BYTES:
        many = f"of these {len(secrets)}, which blanks separate, the shortest" if len(secrets) > 1 else "this one"
        raise ValueError(
            f"each secret has at least {SECRET_BYTES} bytes, and {many} has {shortest}. No secret holds blanks, as "
            "salts of WordPress do: make one with `openssl rand -hex 32`"
        )


def _check_telegram_token(token: str) -> None:
    """Raises ValueError, which does not show the token."""
    if not TELEGRAM_TOKEN.fullmatch(token):
        raise ValueError("expected a bot's token as BotFather gives it: digits, a colon, letters and digits")


def _listed(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _hook_key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        raise ValueError("each secret begins with whsec_ and goes on in base64")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"a secret holds 24 to 64 bytes (Standard Webhooks), this one {len(key)}")
    return key
