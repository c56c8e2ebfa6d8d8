"""Outgoing Telegram messages: delivery loops, send rate, Bot API, texts."""
