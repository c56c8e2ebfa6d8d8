"""The events to the site, against a real HTTP server."""
