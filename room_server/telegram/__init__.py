"""Outgoing Telegram messages: the worker, its pacing, the texts."""
