"""The other files of `deploy/`: what they run is there, and their times and limits fit the server's."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from room_server import config
from room_server.channels import drain
from room_server.cli import main
from room_server.commands.web_workers import HEALTH_SECONDS
from room_server.config import Settings
from room_server.protocols.bounded_http import GRACEFUL_SHUTDOWN_SECONDS
from tests.support import HOOK_SECRET, TOKEN_SECRET

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
LONGEST_STOP = (
    HEALTH_SECONDS + Settings().drain_seconds + drain.CLOSED_AFTER + drain.LAST_SECONDS + GRACEFUL_SHUTDOWN_SECONDS
)
"""Seconds that a web process may take to end; the first of them where it is a parent that waits for a worker's word."""
units = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)


def lines(unit: Path) -> dict[str, str]:
    """What a unit sets, by name; nothing is set twice but what adds up."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text("utf-8"), re.MULTILINE))


def checked(words: list[str]) -> None:
    """Raises click's errors when the command cannot be run like this."""
    name, *rest = words
    main.commands[name].make_context(None, rest, parent=click.Context(main, **main.context_settings))


@units
def test_a_unit_runs_what_is_there_and_gives_it_time_and_files(unit: Path) -> None:
    sets = lines(unit)

    checked(sets["ExecStart"].replace("%i", "8000").split()[1:])
    assert float(sets["TimeoutStopSec"]) > LONGEST_STOP
    assert (sets["KillSignal"], sets["KillMode"]) == ("SIGTERM", "mixed")
    if "web" in unit.name:
        assert int(sets["LimitNOFILE"]) > 2 * Settings().max_sockets


@units
def test_a_unit_is_started_again_however_often_it_ends(unit: Path) -> None:
    """By default systemd gives up after five starts within ten seconds."""
    text = unit.read_text("utf-8")
    sets = lines(unit)

    assert (sets["StartLimitIntervalSec"], sets["Restart"]) == ("0", "always")
    assert text.index("[Unit]") < text.index("StartLimitIntervalSec=") < text.index("[Service]")


@units
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_has_nothing_to_say_against_a_unit(unit: Path, tmp_path: Path) -> None:
    made = tmp_path / unit.name.replace("@", "@8000")
    here = Path(sys.executable).with_name("room-server")
    made.write_text(unit.read_text("utf-8").replace("/srv/room-server/bin/room-server", str(here)), "utf-8")
    words = ["systemd-analyze", "verify", "--man=no", str(made)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert [line for line in done.stderr.splitlines() if unit.name.split("@")[0] in line] == []


def test_the_settings_file_holds_settings_for_systemd_and_for_a_shell() -> None:
    text = (DEPLOY / "room-server.env").read_text("utf-8")
    given = {name: value.strip('"') for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}
    filled = {**given, "ROOM_SERVER_TOKEN_SECRET": TOKEN_SECRET, "ROOM_SERVER_HOOK_SECRET": HOOK_SECRET}
    shell = ["sh", "-eu", "-c", f'set -a; . "{DEPLOY}/room-server.env"; env']
    known = subprocess.run(shell, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout

    assert list(config.warnings(filled)) == []
    assert given.keys() - {name for name in given if name.startswith(config.PREFIX)} == {"FORWARDED_ALLOW_IPS"}
    assert {f"{name}={value}" for name, value in given.items()} <= set(known.splitlines())


def test_the_image_copies_what_is_there_and_runs_the_product() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    copied = [name for names in re.findall(r"^COPY ((?!--).*) \S+$", text, re.MULTILINE) for name in names.split()]

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"requirements/run.txt", "pyproject.toml", "room_server", "static"} <= set(copied)
    checked(re.findall(r'"([^"]+)"', text[text.index("CMD") :]))


def composed() -> dict[str, Any]:
    """The services of the compose file, anchors followed."""
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    return read


def test_the_services_run_the_product_and_have_the_time_to_leave() -> None:
    services = composed()
    valkey = services.pop("valkey")

    assert {service["restart"] for service in (*services.values(), valkey)} == {"always"}
    for service in services.values():
        checked(service["command"])
        assert float(service["stop_grace_period"].removesuffix("s")) > LONGEST_STOP
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        named = {name for name in service["environment"] if name.startswith(config.PREFIX)}
        assert list(config.warnings(dict.fromkeys(named, ""))) == []
    told = dict(zip(valkey["command"][1::2], valkey["command"][2::2], strict=True))
    assert told == {"--appendonly": "yes", "--appendfsync": "always", "--save": "", "--maxmemory-policy": "noeviction"}


def test_the_script_is_one() -> None:
    assert os.access(DEPLOY / "backup", os.X_OK)
    assert subprocess.run(["sh", "-n", str(DEPLOY / "backup")], check=True).returncode == 0
