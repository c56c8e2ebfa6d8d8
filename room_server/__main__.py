"""`python -m room_server` is the `room-server` command."""

from room_server.cli import main

main()
