"""uvicorn's protocols as this product runs them: bounded HTTP, and the upgrade to a room socket."""
