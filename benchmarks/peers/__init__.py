"""What the server is measured beside: each a small program with the same task, `python -m … PORT`."""
