"""The subcommands of `room-server`, by noun. Each parses, calls, and prints; nothing is decided here."""
