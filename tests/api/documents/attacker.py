"""Hooks for Schemathesis, which loads this file; pytest does not.

They take out what no schema can tell from what is right, and the server refuses.
"""

from typing import Any

import schemathesis

MAX_LEADS = 500


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    """Drop numbers such as 42.0, which are integers to JSON Schema; texts, which have names of their own; origins."""
    body = case.body
    return not isinstance(body, dict) or not (_has_whole_float(body) or body.get("texts") or body.get("frame_origins"))


@schemathesis.hook
def map_case(_: Any, case: Any) -> Any:
    """Name each lead once; a list that is too long stays so."""
    leads = case.body.get("leads") if isinstance(case.body, dict) else None
    if isinstance(leads, list) and len(leads) <= MAX_LEADS:
        named = {str(one.get("lead_id") if isinstance(one, dict) else one): one for one in leads}
        case.body = {**case.body, "leads": list(named.values())}
    return case


def _has_whole_float(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_whole_float, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and value.is_integer()
