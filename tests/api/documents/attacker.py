"""Hooks for Schemathesis, which loads this file; pytest does not."""

from typing import Any

import schemathesis


@schemathesis.hook
def filter_body(_: Any, body: Any) -> bool:
    """Drop numbers such as 42.0: to JSON Schema they are integers, to the server none, and no schema can say that."""
    if not isinstance(body, dict):
        return True
    context = body.get("context")
    integers = [body.get("lead_id"), context.get("actor_id") if isinstance(context, dict) else None]
    return not any(isinstance(one, float) and one.is_integer() for one in integers)
