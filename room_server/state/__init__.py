"""The only code that knows a Redis key: keys, records, scripts, streams. Connections are in `redis/`."""
