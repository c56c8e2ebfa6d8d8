"""Connections to Redis or Valkey: one server, Sentinel, a Cluster, or the embedded server."""
