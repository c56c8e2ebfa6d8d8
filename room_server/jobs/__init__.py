"""What the worker does on a schedule."""
