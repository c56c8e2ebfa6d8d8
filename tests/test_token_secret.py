"""The token secret that an embedded installation makes for itself."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from room_server.config import Settings
from room_server.errors import ConfigurationError
from room_server.token_secret import NAME, with_token_secret


def made_in(folder: Path) -> str:
    """The secret of the data folder."""
    return with_token_secret(Settings(data_dir=str(folder))).token_secret


def test_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    secret = made_in(tmp_path / "data")

    assert len(secret) == 64
    assert made_in(tmp_path / "data") == secret
    assert stat.S_IMODE((tmp_path / "data" / NAME).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == [NAME]


def test_processes_that_start_at_the_same_time_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as crowd:
        secrets = set(crowd.map(made_in, [tmp_path] * 64))

    assert len(secrets) == 1
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_secret_that_is_set_is_used(tmp_path: Path) -> None:
    for settings in (
        Settings(data_dir=str(tmp_path), token_secret="mine"),
        Settings(data_dir=str(tmp_path), token_public_key="PEM"),
    ):
        assert with_token_secret(settings) is settings
    assert list(tmp_path.iterdir()) == []


def test_processes_that_share_a_redis_need_a_secret_that_is_set() -> None:
    with pytest.raises(ConfigurationError, match="ROOM_SERVER_TOKEN_SECRET is not set"):
        with_token_secret(Settings(redis_url="redis://localhost"))


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 64])
def test_a_file_that_holds_no_secret_signs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(ConfigurationError, match="holds no secret; remove it"):
        made_in(tmp_path)


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=r"ROOM_SERVER_DATA_DIR: .*file"):
        made_in(tmp_path / "file")
