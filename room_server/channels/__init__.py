"""Fan-out: listener and reader bring room states from Redis to the hub, which writes them to this process's sockets."""
