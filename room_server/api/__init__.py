"""HTTP endpoints: hooks (the only way to write), readings, pages, metrics and health."""
