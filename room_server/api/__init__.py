"""HTTP endpoints: hooks (the only way to write), rooms, counts, pages, metrics, health, and the interface documents."""
