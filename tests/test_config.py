"""Settings: where each value comes from, and that all wrong ones are reported at once."""

import base64
from pathlib import Path

import msgspec
import pytest

from room_server.auth import Authenticator
from room_server.config import PREFIX, Settings, load, warnings
from room_server.errors import ConfigurationError
from room_server.state.redis.connect import connect

PORT = "a port is a number from 1 to 65535; in a password, / ? # @ and : are percent-encoded"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


def problems(**environ: str) -> list[str]:
    """The error text for an environment with wrong settings."""
    with pytest.raises(ConfigurationError) as caught:
        load({PREFIX + name: value for name, value in environ.items()})
    return str(caught.value).splitlines()


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()
    assert load({PREFIX + field.name.upper(): " " for field in msgspec.structs.fields(Settings)}) == Settings()


def test_values_are_trimmed_and_typed() -> None:
    made = load({f"{PREFIX}MAX_SOCKETS": " 7 ", f"{PREFIX}EVALUATION_GRACE": "1.5", f"{PREFIX}PARTITIONS": "4"})

    assert (made.max_sockets, made.evaluation_grace, made.partitions) == (7, 1.5, 4)


def test_flags_go_before_the_environment_and_missing_flags_do_not() -> None:
    environ = {f"{PREFIX}DATA_DIR": "there", f"{PREFIX}REDIS_URL": "redis://there"}
    made = load(environ, data_dir="here", redis_url=None)

    assert (made.data_dir, made.redis_url) == ("here", "redis://there")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("MAX_SOCKETS", "many", "expected a whole number, at least 0 and at most 1000000000, not 'many'"),
        ("MAX_SOCKETS", "-1", "expected a whole number, at least 0 and at most 1000000000, not '-1'"),
        ("EVALUATION_GRACE", "inf", "expected a number, at least 0 and at most 100000000, not 'inf'"),
        ("EVALUATION_GRACE", "nan", "expected a number, at least 0 and at most 100000000, not 'nan'"),
        ("STALL_SECONDS", "0", "expected a number, more than 0 and at most 100000000, not '0'"),
        ("PARTITIONS", "0", "expected a whole number, at least 1 and at most 1024, not '0'"),
        ("RETENTION_DAYS", "36501", "expected a whole number, at least 0 and at most 36500, not '36501'"),
        ("LOG_FORMAT", "xml", "expected console or json, not 'xml'"),
        ("REDIS_URL", "http://localhost", "the scheme 'http' is none of redis, redis+cluster, redis+sentinel, "
                                          "rediss, rediss+cluster, rediss+sentinel, unix"),
        ("REDIS_URL", "localhost:6379", "the scheme 'localhost' is none of redis, redis+cluster, redis+sentinel, "
                                        "rediss, rediss+cluster, rediss+sentinel, unix"),
        ("REDIS_URL", "redis://[::1", "this is no address: brackets stand around an IPv6 address alone"),
        ("PUBLIC_URL", "example.org", "expected an address like https://example.org, not 'example.org'"),
        ("PUBLIC_URL", "https://", "expected an address like https://example.org, not 'https://'"),
        ("PUBLIC_URL", "https://a/#b", "expected an address like https://example.org, not 'https://a/#b'"),
        ("TELEGRAM_BASE_URL", "ftp://a", "expected an address like https://example.org, not 'ftp://a'"),
        ("TELEGRAM_BASE_URL", "http://a:99999", PORT),
        ("TELEGRAM_BASE_URL", "https://a/bot/", "expected the root of the Bot API, without /bot at its end, "
                                                "not 'https://a/bot/'"),
        ("REDIS_URL", "redis://a:65536", PORT),
        ("REDIS_URL", "redis+cluster://a:7000,b:0", PORT),
        ("REDIS_URL", "redis://me:hunter2/x@a", PORT),
        ("REDIS_URL", "redis+sentinel://me:hunter2#x@a/leader", PORT),
        ("PUBLIC_URL", "https://me:hunter2/x@a", PORT),
        ("PUBLIC_URL", "https://a?", "expected an address like https://example.org, not 'https://a?'"),
        ("PUBLIC_URL", "https://a b", "expected an address like https://example.org, not 'https://a b'"),
        ("ALLOWED_ORIGINS", "https://a:65536", PORT),
        ("TELEGRAM_BASE_URL", "http://a:0", PORT),
        ("ALLOWED_ORIGINS", "https://a *", "expected origins like https://example.org, not '*'"),
        ("ALLOWED_ORIGINS", "example.org", "expected origins like https://example.org, not 'example.org'"),
        ("ALLOWED_ORIGINS", "https://a/b", "expected origins like https://example.org, not 'https://a/b'"),
        ("SITE_EVENTS_URL", "ftp://a", "expected an address like https://example.org/events, not 'ftp://a'"),
        ("SITE_EVENTS_URL", "https://", "expected an address like https://example.org/events, not 'https://'"),
        ("SITE_EVENTS_URL", "https://a/#b", "expected an address like https://example.org/events, not 'https://a/#b'"),
        ("SITE_EVENTS_URL", "https://me:hunter2@/x", "expected an address like https://example.org/events, "
                                                     "not 'https://…@/x'"),
        ("SITE_EVENTS_URL", "https://a:0/", PORT),
        ("SITE_EVENTS_URL", "https://a/x https://me:b@a/x", "each address is there once, whatever its password"),
        ("SITE_EVENTS_SECRET", "whsec_AAAA", "a secret holds 24 to 64 bytes (Standard Webhooks), this one 3"),
        ("HOOK_SECRET", "secret", "each secret begins with whsec_ and goes on in base64"),
        ("HOOK_SECRET", "whsec_?", "what follows whsec_ is not base64"),
        ("HOOK_SECRET", "whsec_AAAA", "a secret holds 24 to 64 bytes (Standard Webhooks), this one 3"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_named_with_what_would_be_right(name: str, value: str, problem: str) -> None:
    assert problems(**{name: value}) == [f"{PREFIX}{name}: {problem}"]


OTHER_KEY = "whsec_" + base64.b64encode(b"o" * 32).decode()
SHARED = (
    f"{PREFIX}SITE_EVENTS_SECRET: several receivers may not share {PREFIX}HOOK_SECRET, since whoever knows it acts as "
    "`system`; give the events a secret of their own"
)


@pytest.mark.parametrize("own", ["", KEY, f"{OTHER_KEY} {KEY}"])
def test_several_receivers_do_not_share_the_secret_of_the_hooks(own: str) -> None:
    two = "https://a/x https://b/x"

    assert problems(SITE_EVENTS_URL=two, HOOK_SECRET=f"{KEY} {KEY}", SITE_EVENTS_SECRET=own) == [SHARED]


def test_the_events_are_signed_by_their_own_secret_or_by_that_of_the_hooks() -> None:
    one, url = {f"{PREFIX}SITE_EVENTS_URL": "https://me:p@a/x?rest_route=/e"}, f"{PREFIX}HOOK_SECRET"
    own = {f"{PREFIX}SITE_EVENTS_SECRET": f"{OTHER_KEY} {KEY}"}
    several = {f"{PREFIX}SITE_EVENTS_URL": "https://a/x https://b/x", f"{PREFIX}SITE_EVENTS_SECRET": OTHER_KEY}

    assert load({**one, url: KEY}).site_secrets() == (b"k" * 32,)
    assert load({**one, **own}).site_secrets() == (b"o" * 32, b"k" * 32)
    assert load({**several, url: KEY}).site_urls() == ("https://a/x", "https://b/x")
    assert problems(SITE_EVENTS_URL="https://a/x") == [
        f"{PREFIX}SITE_EVENTS_URL: the events are signed, and there is no secret: set {PREFIX}SITE_EVENTS_SECRET "
        "(whsec_…)"
    ]


def test_replicas_go_with_a_redis_that_may_have_some() -> None:
    (said,) = problems(REPLICAS="1")

    assert said == f"{PREFIX}REPLICAS: the embedded server has no replicas; it goes with {PREFIX}REDIS_URL"
    assert load({f"{PREFIX}REPLICAS": "1", f"{PREFIX}REDIS_URL": "redis://h"}).replicas == 1
    assert load({f"{PREFIX}REPLICAS": "1"}, redis_url="redis://h").replicas == 1


def test_all_that_is_wrong_is_reported_at_once() -> None:
    said = problems(MAX_SOCKETS="x", LOG_FORMAT="xml", REDIS_URL="ftp://a", HOOK_SECRET="x")

    assert {line.split(":")[0].removeprefix(PREFIX) for line in said} == {
        "MAX_SOCKETS",
        "LOG_FORMAT",
        "REDIS_URL",
        "HOOK_SECRET",
    }


def test_origins_are_compared_as_browsers_send_them() -> None:
    made = load({f"{PREFIX}ALLOWED_ORIGINS": "https://Site.example/, http://a:80 https://b:443 http://[::1]:8000"})

    assert made.origins() == {"https://site.example", "http://a", "https://b", "http://[::1]:8000"}


def test_several_secrets_stand_side_by_side_for_rotation() -> None:
    made = load({f"{PREFIX}TOKEN_SECRET": f" {'n' * 32}  {'o' * 32} ", f"{PREFIX}HOOK_SECRET": f"{KEY} {KEY}"})

    assert made.token_secrets() == ("n" * 32, "o" * 32)
    assert made.hook_secrets() == (b"k" * 32, b"k" * 32)


def test_the_data_folder_is_absolute() -> None:
    assert Settings(data_dir="here").path() == Path.cwd() / "here"
    assert Settings(data_dir="~/here").path() == Path.home() / "here"


def test_secrets_hide_themselves_when_settings_are_printed() -> None:
    secret = "do-not-show-me"
    made = Settings(token_secret=secret, telegram_token=secret, metrics_token=secret, redis_url=f"redis://:{secret}@h",
                    hook_secret=secret, site_events_secret=secret, site_events_url=f"https://me:{secret}@h/",
                    max_sockets=7)  # fmt: skip

    assert secret not in repr(made)
    assert "max_sockets=7" in repr(made)
    assert "token_secret=''" in repr(Settings())


SECRET = "hunter2"
ODD = [
    f"a\nb {SECRET}x@", f"//me:{SECRET}@h", f"https://me:{SECRET}@[::1]:99999/x", f"redis://me:{SECRET}/x@h",
    f"redis://me:{SECRET}\u2100@h", f"redis+sentinel://me:{SECRET}#x@h/n", f"https://me:p%40{SECRET}@h", "\0",
    "п\u200b", "\ud800", "x" * 10**6, "9" * 5000, "1e400", "https://[::1", "https://[zz]", "https://h:0", "https://h:65536",
    "https://h\\x", "https://%68ost", "https://h h", "https://..", "https://a\u200bb", "https://пример.рф",
    "https://[::1]", "https://xn--e1afmkfd.xn--p1ai:65535", "redis://[::1]:6379", "whsec_é",
    "-----BEGIN PUBLIC KEY-----\nx\n-----END",
]  # fmt: skip
"""What a saboteur, or a slip of the hand, could put into any setting."""


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Settings)])
def test_whatever_a_setting_is_given_it_is_taken_or_refused_in_one_line(field: str) -> None:
    """The line names the setting, and shows no password and no megabyte."""
    name = PREFIX + field.upper()
    for odd in ODD:
        try:
            made = load({name: odd})
            Authenticator(made)
            if made.redis_url:
                connect(made.redis_url)
        except ConfigurationError as error:
            (line,) = str(error).splitlines()
            told = (line.startswith(f"{name}: "), len(line) < 400, SECRET in line.replace(f"{SECRET}x@", ""))
            assert told == (True, True, False), (odd[:80], line)


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Settings)])
def test_what_is_no_text_is_refused_for_every_setting(field: str) -> None:
    """Python has bytes of the environment that are no UTF-8 as lone surrogates."""
    for text in ("x\udcff", "x\0x"):
        assert problems(**{field.upper(): text}) == [f"{PREFIX}{field.upper()}: this is no text in UTF-8"]


def test_a_misspelt_setting_is_warned_of() -> None:
    environ = {f"{PREFIX}REDIS": "redis://h", f"{PREFIX}MAX_SOCKETS": "1", "PATH": ""}

    assert list(warnings(environ)) == [f"{PREFIX}REDIS is no setting of room-server"]


SALT = "dHv:4}u@ #x!TEnQ Zr)w>7=K&2[ys~/9|Lb;P(M*c+q-F%J]a.^e{h?8g,VXkC"
"""Sixty-four characters, as WordPress makes them."""


@pytest.mark.parametrize("secret", ["guess", f"{'x' * 32} tiny", SALT, "x" * 31])
def test_a_secret_that_can_be_guessed_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="TOKEN_SECRET: each secret has at least 32 bytes") as caught:
        load({f"{PREFIX}TOKEN_SECRET": secret})

    assert not any(part in str(caught.value) for part in secret.split())


def test_several_long_secrets_are_taken() -> None:
    assert load({f"{PREFIX}TOKEN_SECRET": f"{'x' * 32} {'y' * 32}"}).token_secrets() == ("x" * 32, "y" * 32)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PUBLIC_URL", "https://example.org/rooms", "expected https://host, not 'https://example.org/rooms'"),
        ("PUBLIC_URL", "https://me:hunter2@example.org", "has no user and no password"),
        ("TELEGRAM_BASE_URL", "https://me:hunter2@example.org", "has no user and no password"),
        ("TELEGRAM_TOKEN", "bot hunter2", "expected a bot's token as BotFather gives it"),
    ],
)
def test_an_address_or_token_that_cannot_work_is_refused_and_no_password_is_shown(
    name: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({PREFIX + name: value})

    assert f"{PREFIX}{name}: " in str(caught.value)
    assert problem in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_setting_has_its_effect() -> None:
    environ = {f"{PREFIX}RETENTION_DAYS": "30", f"{PREFIX}METRICS_TOKEN": "x" * 32}

    assert [*warnings(environ)] == []
