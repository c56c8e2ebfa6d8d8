"""The dashboard, the alert rules and their documents name only metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from room_server.api.hooks import UNKNOWN
from room_server.core.messages import EMITTED, INBOUND, DeliveryStatus, Role
from room_server.core.room import Status
from room_server.core.site_delivery import AnswerKind
from room_server.errors import PROBLEMS
from room_server.state.heartbeat import TelegramStatus
from room_server.telemetry.prometheus import FAMILIES
from tests.site.sending import known
from tests.support import Site
from tests.test_docs import ROOT, blocks, rows

FOLDER = ROOT / "docs" / "monitoring"
NAME = re.compile(r"\b(?:room_server|process)_\w+")
MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
OF_PROMETHEUS = {"instance": {"$instance"}, "job": {"room-server"}}
"""Labels that the scraper adds."""
VALUES: dict[str, set[str]] = {
    **OF_PROMETHEUS,
    "code": {"ok", *PROBLEMS},
    "hook": {*INBOUND, *EMITTED, UNKNOWN},
    "kind": {"web", "worker"},
    "receiver": set(),
    "answer": {kind.value for kind in AnswerKind},
    "outcome": {"accepted", *PROBLEMS},
    "role": {role.value for role in Role},
    "status": {
        *(fate.value for fate in DeliveryStatus),
        *(status.value for status in Status),
        *get_args(TelegramStatus),
    },
}
"""The values of each label."""


@cache
def alerts() -> tuple[dict[str, Any], ...]:
    """The rules, in the order of their file."""
    read = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
    return tuple(rule for group in read["groups"] for rule in group["rules"])


@cache
def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    read: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text("utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression, with the alert or panel that it belongs to."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


asked = pytest.mark.parametrize("expression", sorted({expression for _, expression in expressions()}))


async def test_every_metric_that_is_named_is_in_a_scrape(site: Site) -> None:
    await known(site.store)
    text = (await site.http.get("/metrics")).text
    told = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    named = {name for _, expression in expressions() for name in NAME.findall(expression)}

    assert named - told == set()
    assert len(named) > 20


@asked
def test_a_queried_label_is_one_of_the_metrics_and_can_have_that_value(expression: str) -> None:
    for name, inside in re.findall(r"\b((?:room_server|process)_\w+)\{([^}]*)\}", expression):
        labels = FAMILIES[re.sub(r"_bucket$", "", name)].labels
        for label, _, values in MATCHER.findall(inside):
            assert label in {*labels, *OF_PROMETHEUS}
            assert set(values.split("|")) <= VALUES[label]


@asked
def test_a_counter_is_queried_as_a_rate_and_what_redis_holds_is_not_added_up(expression: str) -> None:
    """What Redis holds is the same from every host."""
    for name in NAME.findall(expression):
        if name.endswith(("_total", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}\b", expression)
    shared = list(FAMILIES)[list(FAMILIES).index("room_server_redis_durable") :]
    assert [name for name in shared if re.search(rf"\bsum\b[^(]*\([^(]*{name}\b", expression)] == []


def test_every_metric_but_one_is_on_the_dashboard() -> None:
    shown = {re.sub(r"_bucket$", "", name) for panel in panels() for target in panel["targets"]
             for name in NAME.findall(target["expr"])}  # fmt: skip

    assert FAMILIES.keys() - shown == {"process_virtual_memory_bytes"}


def test_the_panels_fill_the_rows_and_do_not_overlap() -> None:
    places = {
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }

    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels())
    assert {x for x, _ in places} == set(range(24))
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_every_alert_has_a_severity_and_a_summary() -> None:
    assert {rule["labels"]["severity"] for rule in alerts()} == {"page", "ticket"}
    assert all(rule["annotations"]["summary"] for rule in alerts())
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_the_on_call_page_explains_every_alert_and_no_other() -> None:
    text = (ROOT / "docs" / "on-call.md").read_text("utf-8")
    told = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    linked = set(re.findall(r"RoomServer\w+", text))

    assert told == [rule["alert"] for rule in alerts()]
    assert linked == set(told)


def test_the_document_lists_every_metric_with_its_labels() -> None:
    listed = {
        cells[0].strip("`"): (cells[1], cells[2])
        for cells in rows((FOLDER / "README.md").read_text("utf-8"))
        if cells[0].startswith("`")
    }

    assert listed == {
        name: (", ".join(f"`{label}`" for label in family.labels) or "–", family.help)
        for name, family in FAMILIES.items()
    }


def test_the_example_of_a_scraper_can_be_read() -> None:
    (example,) = blocks(FOLDER / "README.md", "yaml")
    (job,) = yaml.safe_load(example)["scrape_configs"]

    assert job["job_name"] in OF_PROMETHEUS["job"]
