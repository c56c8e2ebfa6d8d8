"""The plugin's parts by PHPUnit, inside WordPress; and its files: lint, style, translations, archive."""

import asyncio
import os
import re
import subprocess
import zipfile
from pathlib import Path

from tests.wordpress.site import PLUGIN, ROOT, WordPress

PHPUNIT = Path(__file__).parent / "phpunit"
FILES = sorted(PLUGIN.rglob("*.php"))
LINES = 250
NEWER_THAN_7_4 = (
    r"\?->|\bmatch\s*\(|\benum\s+\w+\s*{|\breadonly\b|#\[|\bstr_(?:contains|starts_with|ends_with)\(|\bnever\b\s*{"
)
"""Syntax and functions that PHP 7.4 or WordPress' own supplements do not have."""
LANGUAGES = PLUGIN / "languages"


async def test_the_parts_hold_in_phpunit(site: WordPress) -> None:
    (site.folder / "constants.json").write_text("{}")
    process = await asyncio.create_subprocess_exec(
        "phpunit", "--no-configuration", "--bootstrap", str(PHPUNIT / "bootstrap.php"), str(PHPUNIT),
        cwd=site.folder, env={**os.environ, **site.environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()

    assert (process.returncode, "OK (" in out.decode()) == (0, True), out.decode()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_every_file_is_php_in_the_wordpress_style() -> None:
    checked = run("sh", "scripts/check-plugin")

    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_every_file_refuses_to_run_alone_and_is_read_in_one_sitting() -> None:
    for path in FILES:
        text = path.read_text("utf-8")
        assert "defined( 'ABSPATH' ) || exit;" in text or "defined( 'WP_UNINSTALL_PLUGIN' ) || exit;" in text, path
        assert len(text.splitlines()) <= LINES, path
        assert not re.search(NEWER_THAN_7_4, re.sub(r"^\s*(?://|\*).*$", "", text, flags=re.MULTILINE)), path


def test_every_name_is_the_plugins_own() -> None:
    for path in FILES:
        text = path.read_text("utf-8")
        names = re.findall(r"^(?:final |abstract )?(?:function|class) &?(\w+)", text, re.MULTILINE)
        names += re.findall(r"^const (\w+)|define\( '(ROOM\w*)'", text, re.MULTILINE) and []
        assert [name for name in names if not name.lower().startswith("room_server_")] == [], path
        assert [
            name for name in re.findall(r"^const (\w+)", text, re.MULTILINE) if not name.startswith("ROOM_SERVER_")
        ] == []


def test_a_number_that_varies_has_its_plural_forms() -> None:
    """One form is for numbers that the plugin itself fixes: of characters of a secret, and of seconds of a check."""
    sources = [path.read_text("utf-8") for path in FILES]
    single = [one for text in sources for one in re.findall(r"\b(?:esc_html)?__\( '([^']+)'", text)]
    counting = {found[2] for one in single if (found := re.search(r"%(\d\$)?d ([a-z]+s)\b", one))}

    assert len(single) > 100
    assert counting == {"characters", "seconds"}


def test_translations_have_every_sentence(tmp_path: Path) -> None:
    made = run("sh", "scripts/translations", str(tmp_path))
    assert made.returncode == 0, made.stderr

    for name in ("room-server.pot", "room-server-ru_RU.po"):
        assert sentences(tmp_path / name) == sentences(LANGUAGES / name), f"run: sh scripts/translations ({name})"
    checked = run(
        "msgfmt", "--check", "--statistics", "-o", str(tmp_path / "made.mo"), str(LANGUAGES / "room-server-ru_RU.po")
    )
    assert re.fullmatch(r"\d+ translated messages\.\s*", checked.stderr), checked.stderr
    assert (tmp_path / "made.mo").read_bytes() == (LANGUAGES / "room-server-ru_RU.mo").read_bytes()


def sentences(path: Path) -> list[str]:
    """The sentences of a catalogue, without the places where they stand."""
    return [line for line in path.read_text("utf-8").splitlines() if not line.startswith(("#:", '"POT-'))]


def test_the_archive_is_the_plugin_and_the_same_each_time(tmp_path: Path) -> None:
    archives = [tmp_path / f"{number}.zip" for number in (1, 2)]
    for archive in archives:
        assert run("python3", "scripts/plugin.py", str(archive)).returncode == 0

    assert archives[0].read_bytes() == archives[1].read_bytes()
    with zipfile.ZipFile(archives[0]) as packed:
        names = packed.namelist()
    files = [path for path in PLUGIN.rglob("*") if path.is_file()]
    assert sorted(names) == sorted(f"room-server/{path.relative_to(PLUGIN)}" for path in files)


def test_the_versions_agree() -> None:
    project = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    head = (PLUGIN / "room-server.php").read_text()
    readme = (PLUGIN / "readme.txt").read_text("utf-8")
    assert project is not None
    assert re.findall(r"^ \* Version: +(.*)$", head, re.MULTILINE) == [project[1]]
    assert f"define( 'ROOM_SERVER_VERSION', '{project[1]}' );" in head
    assert f"\nStable tag: {project[1]}\n" in readme
    for name in ("Requires at least", "Requires PHP"):
        assert re.findall(rf"^ \* {name}: +(.*)$", head, re.MULTILINE) == re.findall(
            rf"^{name}: +(.*)$", readme, re.MULTILINE
        )


def test_the_examples_of_the_documents_are_php(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "wordpress.md").read_text("utf-8")
    examples = re.findall(r"^```php\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    assert examples
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.php"
        path.write_text(f"<?php\n{example}")
        assert run("php", "-l", str(path)).returncode == 0, example


def test_every_action_and_filter_that_the_documents_name_is_there() -> None:
    text = (ROOT / "docs" / "wordpress.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in FILES)

    named = set(re.findall(r"`((?:room_server|client_webinar|core|webinar|post_webinar)_\w+)`", text))
    named |= set(re.findall(r"(?:add_action|add_filter|do_action)\( '(\w+)'", text))
    assert len(named) > 15
    assert {name for name in named if f"'{name}'" not in code and f'"{name}' not in code} == set()
