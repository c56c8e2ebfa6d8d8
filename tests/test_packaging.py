"""The wheel: everything that an installed server needs is in it, and nothing that only a checkout needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = {".css", ".html", ".js", ".lua", ".py", ".svg", ".toml", ".typed"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    (built,) = folder.iterdir()
    return built


def packed(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_every_file_of_the_product_is_in_the_wheel_and_no_other(wheel: Path) -> None:
    source = {path for path in (ROOT / "room_server").rglob("*") if path.suffix in PRODUCT}
    static = {path for path in (ROOT / "static").rglob("*") if path.is_file()}

    expected = {str(path.relative_to(ROOT)) for path in source}
    expected |= {f"room_server/{path.relative_to(ROOT)}" for path in static}
    assert packed(wheel) == expected


def test_an_installed_wheel_finds_its_scripts_and_its_pages(wheel: Path, tmp_path: Path) -> None:
    """As a folder before everything else on the path of a process that starts elsewhere."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    program = (
        "from room_server.api import pages; from room_server.state.redis.pipeline import Script; "
        "print(pages.folder()); print(len(Script.read('commit').text) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(tmp_path / "site" / "room_server" / "static"), "True"]
