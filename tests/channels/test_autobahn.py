"""All of Autobahn's cases, as `kosoku` runs them: those that apply to a server that reads nothing pass."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from kosoku import FailureError, run_fuzzingclient

from room_server.errors import CLOSE_CODES, CloseCode
from tests.autobahn import gateway_to
from tests.support import Site, room

READ_ONLY = CLOSE_CODES[CloseCode.READ_ONLY][1]

PASSES = "passes"
REFUSED = "closed with 1008 at the first data frame, and nothing comes back"
PLAIN = "closed cleanly, and was never compressed"

EXPECTED = {
    "1.*": (REFUSED, "an echo of a message is waited for: the room socket reads no data"),
    "2.*": (PASSES, "pings and pongs"),
    "3.[234]": (REFUSED, "a message goes before the frame with a reserved bit"),
    "3.*": (PASSES, "reserved bits"),
    "4.[12].[345]": (REFUSED, "a message goes before the frame with a reserved opcode"),
    "4.*": (PASSES, "reserved opcodes"),
    "5.[12]": (PASSES, "fragmented control frames"),
    "5.*": (REFUSED, "fragments of messages: already the first is data"),
    "6.*": (REFUSED, "UTF-8 of messages: no byte of theirs is read (that of a close frame is case 7.5.1)"),
    "7.1.[156]": (REFUSED, "a message, or a fragment of one, goes before the close frame"),
    "7.*": (PASSES, "the closing handshake and its codes"),
    "9.*": (REFUSED, "how fast large messages are echoed"),
    "10.*": (REFUSED, "a message in many fragments is echoed"),
    "12.*": (PLAIN, "compression of echoes: frames this small are sent as they are, and none is read"),
    "13.*": (PLAIN, "the same with other parameters of permessage-deflate"),
}
"""The result of each case, and why; the first pattern that fits counts."""
COUNTED = {PASSES: 55, REFUSED: 246, PLAIN: 216}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the cases read their test data so
async def test_all_cases_that_apply_to_a_server_that_reads_nothing_pass(site: Site) -> None:
    await site.store.create(room())
    async with gateway_to(site) as address:
        with pytest.raises(FailureError) as failed:
            await run_fuzzingclient(address, concurrency=50)
    results = {case.case_id: result_of(case) for case in failed.value.results}
    assert {case: result for case, result in results.items() if result != expected(case)} == {}
    assert {result: list(results.values()).count(result) for result in COUNTED} == COUNTED


def expected(case_id: str) -> str:
    """The result that the table expects of a case."""
    return next(result for pattern, (result, _) in EXPECTED.items() if fnmatchcase(case_id, pattern))


def result_of(case: Any) -> str:
    """The result of a case, as the table names it."""
    if case.remote_close_reason == READ_ONLY and not case.received:
        return REFUSED
    if case.passed:
        return PASSES
    if (case.behavior.value, case.behavior_close.value) == ("UNIMPLEMENTED", "OK"):
        return PLAIN
    return f"{case.behavior.value}: {case.result} {case.behavior_close.value}: {case.result_close}"
