"""Our server for valgrind, which makes it fifty times slower: `python -m … web …`, with time limits that fit."""

from room_server.cli import main
from room_server.protocols.bounded_http import BoundedHttp
from room_server.state.redis import connect, retry

SECONDS = 120.0

if __name__ == "__main__":
    BoundedHttp.request_seconds = SECONDS
    connect.REPLY_SECONDS = SECONDS
    retry.deadline.__init__.__defaults__ = (SECONDS,)
    main()
