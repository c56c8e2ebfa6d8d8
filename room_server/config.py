"""Settings from the environment (`ROOM_SERVER_…`); everything that is wrong is reported at once, by name.

Values that are secrets hide themselves when the settings are printed.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from room_server.errors import ConfigurationError

PREFIX = "ROOM_SERVER_"
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
REDIS_SCHEMES = {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel"}


class Settings(Struct, frozen=True, kw_only=True):
    """One field per setting; the environment's name is the field's in capitals behind the prefix. 0 = no limit."""

    redis_url: str | None = None
    data_dir: str = ".room-server"
    token_secret: str = ""
    token_public_key: str = ""
    hook_secret: str = ""
    telegram_token: str | None = None
    telegram_base_url: str = "https://api.telegram.org"
    evaluation_grace: Seconds = 120
    allowed_origins: str = ""
    public_url: str | None = None
    partitions: Annotated[int, Meta(ge=1, le=1024)] | None = None
    replicas: Count = 0
    retention_days: Count = 0
    log_format: Literal["console", "json"] = "console"
    metrics_token: str | None = None
    drain_seconds: Seconds = 20
    stall_seconds: Annotated[float, Meta(gt=0)] = 20
    max_sockets: Count = 20_000
    max_sockets_per_person: Count = 10
    max_handshakes: Count = 0
    max_hooks_per_person: Count = 50
    max_reads_per_person: Count = 5
    max_requests_per_address: Count = 0

    def token_secrets(self) -> tuple[str, ...]:
        """The first signs, all verify."""
        return tuple(self.token_secret.split())

    def hook_secrets(self) -> tuple[bytes, ...]:
        """The keys behind `whsec_…` (Standard Webhooks)."""
        return tuple(_hook_key(word) for word in self.hook_secret.split())

    def origins(self) -> frozenset[str]:
        """Sites that may open sockets, read by CORS and embed the room; empty: the request's own host only."""
        return frozenset(origin.rstrip("/").lower() for origin in self.allowed_origins.replace(",", " ").split())

    def path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().absolute()

    def __repr__(self) -> str:
        shown = {name: "…" if _is_secret(name) and value else value for name, value in _items(self)}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """The settings of `environ`, with those of `overrides` that are not None before them. Raises ConfigurationError."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(Settings):
        name = PREFIX + field.name.upper()
        raw = environ.get(name, "")
        given = overrides.get(field.name)
        if given is None and not raw.strip():
            continue
        try:
            values[field.name] = msgspec.convert(raw if given is None else given, field.type, strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {error}")
    problems += _semantic_problems(values)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Settings(**values)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """Variables that carry our prefix and mean nothing: most likely misspelt."""
    known = {PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def _semantic_problems(values: dict[str, Any]) -> list[str]:
    problems = []
    scheme = urlsplit(values.get("redis_url") or "redis://").scheme
    if scheme not in REDIS_SCHEMES:
        problems.append(f"{PREFIX}REDIS_URL: the scheme {scheme!r} is none of {', '.join(sorted(REDIS_SCHEMES))}")
    for word in values.get("hook_secret", "").split():
        try:
            _hook_key(word)
        except ValueError as error:
            problems.append(f"{PREFIX}HOOK_SECRET: {error}")
    return problems + [
        f"{PREFIX}{name.upper()}: expected an http:// or https:// address"
        for name in ("public_url", "telegram_base_url")
        if name in values and urlsplit(values[name]).scheme not in {"http", "https"}
    ]


def _hook_key(word: str) -> bytes:
    if not word.startswith("whsec_"):
        raise ValueError("each secret begins with whsec_ and goes on in base64")
    try:
        key = base64.b64decode(word.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"a secret holds 24 to 64 bytes (Standard Webhooks), this one {len(key)}")
    return key


def _is_secret(name: str) -> bool:
    return name in {"token_secret", "hook_secret", "telegram_token", "metrics_token", "redis_url"}


def _items(settings: Settings) -> list[tuple[str, Any]]:
    return [(name, getattr(settings, name)) for name in settings.__struct_fields__]
