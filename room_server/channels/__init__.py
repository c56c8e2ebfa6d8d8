"""Fan-out: Redis tells the listener, the listener tells the hub, the hub writes to the sockets of this process."""
