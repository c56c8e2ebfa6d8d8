"""The rows have every path, method, hook and code of the application, and no other."""

from starlette.routing import Mount, Route

from room_server.api import pages
from room_server.api.documents.operation import Operation
from room_server.api.documents.operations import HOOKS, OPERATIONS, OTHER_METHODS, description_of, kinds
from room_server.api.hook_bodies import ACCEPTED
from room_server.app import ROUTES
from room_server.core.messages import EMITTED, INBOUND, Role
from room_server.core.permissions import MAY_READ, MAY_SEND, Reading
from room_server.errors import PROBLEMS
from tests.test_refusals import REFUSALS

ROWS = [row for methods in OPERATIONS.values() for row in methods.values()]


def served() -> dict[str, set[str]]:
    """The methods of each path that the application answers, without HEAD, which goes with GET."""
    found = {}
    for route in [*ROUTES, *pages.routes()]:
        if isinstance(route, Mount):
            found[f"{route.path}/{{path}}"] = {"GET"}
        else:
            assert isinstance(route, Route)
            found[route.path] = set(route.methods or {"GET"}) - {"HEAD"}
    return found


def test_every_address_and_method_is_a_row_and_nothing_else_is() -> None:
    rows = {path: {method.upper() for method in methods} for path, methods in OPERATIONS.items() if path not in HOOKS}

    assert rows == served()


def test_every_hook_that_comes_in_is_a_row_of_its_own() -> None:
    assert [path.removeprefix("/hooks/") for path in HOOKS] == list(ACCEPTED)
    assert {path: row.body for path, row in HOOKS.items()} == {f"/hooks/{name}": ACCEPTED[name] for name in ACCEPTED}
    assert {path: row.roles for path, row in HOOKS.items()} == {
        f"/hooks/{name}": MAY_SEND[kind] for name, kind in ACCEPTED.items()
    }


def test_the_row_of_internal_hooks_names_each() -> None:
    assert {name for name in EMITTED if name in OPERATIONS["/hooks/{name}"]["post"].description} == set(EMITTED)


def test_names_of_operations_are_names_for_code_and_each_its_own() -> None:
    names = [row.id for row in ROWS]

    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_every_code_of_a_row_is_one() -> None:
    assert {code for row in ROWS for code in row.codes} | set(OTHER_METHODS.values()) <= PROBLEMS.keys()


def row_of(name: str) -> Operation:
    """The row for a hook's name, also for an unknown one."""
    return HOOKS.get(f"/hooks/{name}", OPERATIONS["/hooks/{name}"]["post"])


def test_a_hook_is_refused_only_with_codes_of_its_row() -> None:
    assert [case for case in REFUSALS if case.code not in row_of(case.name).codes] == []


def test_a_conflict_of_a_row_can_be_met() -> None:
    met = {(case.name, case.code) for case in REFUSALS if case.status == 409}
    told = {(row.id, code) for row in HOOKS.values() for code in row.codes if PROBLEMS[code].status == 409}

    assert told == met


def test_the_roles_of_a_row_are_those_of_the_code() -> None:
    assert OPERATIONS["/rooms/{webinar_id}/state"]["get"].roles == MAY_READ[Reading.ROOM]
    assert OPERATIONS["/rooms/{webinar_id}/me"]["get"].roles == MAY_READ[Reading.STANDING]
    assert OPERATIONS["/monitor/counts"]["get"].roles == MAY_READ[Reading.COUNTS]
    assert OPERATIONS["/webinars/{webinar_id}/attendance"]["get"].roles == MAY_READ[Reading.ATTENDANCE]
    assert Role.GUEST not in MAY_READ[Reading.ROOM]


def test_the_description_of_a_hook_is_its_docstring_without_its_name() -> None:
    told = description_of(INBOUND["client_webinar_entered"])

    assert (told.startswith("A lead came in"), "client_webinar" in told) == (True, False)


def test_the_types_of_the_rows_have_one_name_each() -> None:
    named = {kind.__name__: kind for kind in kinds(ROWS)}

    assert set(named.values()) == set(kinds(ROWS))
