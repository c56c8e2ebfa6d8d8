"""The WordPress plugin, in a real WordPress with a real database, seen by a real browser and a real room server."""
