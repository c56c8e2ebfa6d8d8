import subprocess
import sys

from room_server.ids import new_id


def test_no_id_is_given_twice() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_another_process_gives_others() -> None:
    words = [sys.executable, "-c", "from room_server.ids import new_id; print(new_id())"]
    others = {subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(2)}

    assert len(others) == 2
