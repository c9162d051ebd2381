"""Alert rules and the dashboard of Grafana: what they ask for exists, and promtool agrees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from materia.api.routes.metrics import _Families
from materia.events.figures import Figures, Histogram
from materia.services.figures import Scrape

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "materia.json"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.fixture(scope="module")
def promtool() -> str:
    """Return the checker of Prometheus; without it nothing here is proved, so the tests fail."""
    found = shutil.which("promtool") or shutil.which(
        "promtool", path=str(ROOT / ".venv" / "tools" / "usr" / "bin")
    )
    assert found, (
        "promtool is not there: it comes with Prometheus (apt-get install prometheus); "
        "scripts/test without arguments fetches it where apt-get exists"
    )
    return found


@pytest.fixture(scope="module")
def text() -> str:
    """Return a scrape in which every family has a sample."""
    task = "tasks.simple_tasks.ping"
    scrape = Scrape(
        counters=Figures(
            ended={(task, "SUCCEEDED"): 1},
            durations={(task, "SUCCEEDED"): Histogram()},
            retries={task: 1},
            crashes={task: 1},
            lag_s=0.0,
        ),
        queues=[{"queue": "ml", "state": "QUEUED", "n": 1, "oldest_s": 2.0}],
        campaigns={"running": 1},
        workers=[{"queues": ["ml"], "n_processes": 2}],
        has_leader=True,
        messages={"ml": 1},
        n_put_aside=0,
    )
    registry = CollectorRegistry()
    registry.register(_Families(scrape))
    return generate_latest(registry).decode()


def names(expressions: str) -> set[str]:
    return set(re.findall(r"\bmateria_\w+", expressions))


def test_alerts_and_dashboard_ask_only_for_figures_that_exist(text: str) -> None:
    exported = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    rules = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"][0]["rules"]
    dashboard = json.loads(DASHBOARD.read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = names(" ".join([*(rule["expr"] for rule in rules), *targets]))
    assert asked - exported == set()
    # What is measured is also shown, but for sums and counts, versions and processes of the API.
    shown = {name for name in exported if not name.endswith(("_sum", "_count", "_created"))}
    assert shown - asked - {"materia_build_info", "materia_events_refilled_total"} == set()


def test_every_alert_leads_to_a_section_of_the_guide() -> None:
    rules = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"][0]["rules"]
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", OPERATIONS, re.M)
    }
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor in headings) == ("docs/operations.md", True), rule["alert"]
        assert f"`{rule['alert']}`" in OPERATIONS


def test_every_figure_is_in_the_guide(text: str) -> None:
    families = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    assert {name for name in families if f"`{name}`" not in OPERATIONS} == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts.test.yaml"),
        ("check", "config", "--syntax-only", "prometheus.yaml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_rules(promtool: str, arguments: tuple[str, ...]) -> None:
    told = subprocess.run(
        [promtool, *arguments], cwd=RULES, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_promtool_accepts_the_figures(promtool: str, text: str) -> None:
    told = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
