"""The text that Prometheus reads, read by Prometheus's own parser; and the dashboard that asks for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from tpop3d_py.server import figures
from tpop3d_py.server.census import Census, Part
from tpop3d_py.server.limits import Board
from tpop3d_py.server.metrics import Figures, Sources, exposition
from tpop3d_py.server.tally import Tally

DASHBOARD = Path(__file__).parents[2] / "scripts" / "grafana" / "pypop3d.json"
DOCUMENT = Path(__file__).parents[2] / "docs" / "monitoring.md"


@pytest.fixture
def tally() -> Tally:
    made = Tally(figures.LAYOUT, 4)
    made.settle(0, 100, Part.WORKER, 2)
    made.settle(1, 101, Part.AUTHENTICATOR, 1)
    return made


def write(tally: Tally, accept: str = "") -> tuple[str, str]:
    board = Board(4)
    for row in (0, 1):
        board.open(row)
    board.connected(0, 3)
    board.logged_in(0, 2)
    census = Census(tally, 2, {}, [], lambda: "")
    limits = {"sessions": 1000}
    certificates = {'/etc/ssl/"odd"\n.pem': 1.7e9}
    octets, content_type = exposition(Figures(Sources(tally, board, census, limits, certificates, 1.6e9)))(
        accept
    )
    return octets.decode(), content_type


def samples(tally: Tally) -> dict[str, float]:
    text, _ = write(tally)
    found = {}
    for family in classic(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_what_is_counted_is_shown(tally: Tally) -> None:
    row = tally.row(0)
    row[figures.LOGINS.cell("granted", "PASS", "mysql+cache")] += 5
    row[figures.COMMANDS.cell("XYZZY")] += 2
    figures.SQL_SECONDS.observe(row, 0.003)
    figures.SQL_SECONDS.observe(row, 99.0)
    found = samples(tally)
    assert found["pypop3d_logins_total{driver=mysql+cache,mechanism=PASS,result=granted}"] == 5
    assert found["pypop3d_commands_total{verb=other}"] == 2
    assert found["pypop3d_sql_seconds_bucket{le=0.0025}"] == 0
    assert found["pypop3d_sql_seconds_bucket{le=0.005}"] == 1
    assert found["pypop3d_sql_seconds_bucket{le=5.0}"] == 1
    assert found["pypop3d_sql_seconds_bucket{le=+Inf}"] == found["pypop3d_sql_seconds_count{}"] == 2
    assert found["pypop3d_sql_seconds_sum{}"] == pytest.approx(99.003)


def test_states_of_the_moment(tally: Tally) -> None:
    found = samples(tally)
    assert found["pypop3d_connections{}"] == 3
    assert found["pypop3d_sessions{}"] == found["pypop3d_open_mailboxes{}"] == 2
    assert found["pypop3d_limit{limit=sessions}"] == 1000
    assert found["pypop3d_processes{draining=no,role=worker}"] == 1
    assert found["pypop3d_processes{draining=yes,role=authenticator}"] == 1
    assert found['pypop3d_certificate_expiry_timestamp_seconds{file=/etc/ssl/"odd"\n.pem}'] == 1.7e9
    assert found["pypop3d_start_time_seconds{}"] == 1.6e9


def test_a_rate_exists_before_the_first_event_but_not_for_each_combination(tally: Tally) -> None:
    found = samples(tally)
    assert found["pypop3d_commands_total{verb=RETR}"] == 0
    assert "pypop3d_commands_total{verb=other}" not in found
    assert not any(name.startswith("pypop3d_logins_total{") for name in found)
    assert len(found) < 500


def test_openmetrics_on_request(tally: Tally) -> None:
    text, content_type = write(tally, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics(text)}  # type: ignore[no-untyped-call]
    assert {"pypop3d_logins", "pypop3d_sql_seconds", "pypop3d_sessions"} <= names


def exposed(tally: Tally) -> set[str]:
    """All names that can be asked for."""
    text, _ = write(tally)
    declared = {name for family in classic(text) for name in _samples_of(family.name, family.type)}
    return declared | {sample.name for family in classic(text) for sample in family.samples}


def _samples_of(name: str, kind: str) -> list[str]:
    if kind == "counter":
        return [f"{name}_total"]
    return [f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name]


def expressions(panel: Any) -> list[str]:
    """All queries in a part of the dashboard."""
    if isinstance(panel, dict):
        here = [panel["expr"]] if isinstance(panel.get("expr"), str) else []
        return here + [text for value in panel.values() for text in expressions(value)]
    return [text for value in panel for text in expressions(value)] if isinstance(panel, list) else []


def test_the_dashboard_asks_only_for_what_there_is(tally: Tally) -> None:
    asked = expressions(json.loads(DASHBOARD.read_text()))
    names = {name for text in asked for name in re.findall(r"\bpypop3d_\w+", text)}
    assert len(asked) > 15
    assert names <= exposed(tally)


def test_the_dashboards_labels_exist() -> None:
    by_name = {family.name: family for family in figures.LAYOUT.families}
    for text in expressions(json.loads(DASHBOARD.read_text())):
        for name, selector in re.findall(r"(pypop3d_\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}", text):
            family = by_name.get(name)
            for label, value in re.findall(r'(\w+)="([^"$]*)"', selector):
                if family is not None and label != "instance":
                    assert value in family.labels[label], text


def test_panels_of_the_dashboard_can_be_told_apart() -> None:
    panels = list(json.loads(DASHBOARD.read_text())["panels"])
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_the_document_names_every_figure_and_no_other(tally: Tally) -> None:
    written = set(re.findall(r"\bpypop3d_\w+", DOCUMENT.read_text()))
    text, _ = write(tally)
    known = {f"{family.name}_total" if family.type == "counter" else family.name for family in classic(text)}
    assert known <= written
    assert written <= known | exposed(tally)
