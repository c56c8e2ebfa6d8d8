"""The only code that knows a Redis key: keys, store, scripts, streams, the embedded server."""
