"""uvicorn's protocols as this product runs them."""
