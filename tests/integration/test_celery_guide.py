"""What `docs/celery-clients.md` shows is run in its order by a client that knows only Celery."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import celery.exceptions
import numpy as np
import pytest
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli, settings
from materia.services import schedules
from serving import ThreadServer, serving_commands
from workers import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "celery-clients.md").read_text()
TITLES = ("Submit and wait", "Search", "Predict", "Process new files", "Urgent work")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that commands find by the environment."""
    with serving_commands(monkeypatch) as started:
        yield started


def write_tables(root: Path) -> None:
    """Write the tables that the page speaks of."""
    rng = np.random.default_rng(1)

    def table(n: int) -> str:
        x, y = rng.uniform(0, 1, n), rng.uniform(0, 1, n)
        rows = (f"{a:.4f},{b:.4f},{a + 2 * b:.4f}" for a, b in zip(x, y, strict=True))
        return "nickel,carbon,strength\n" + "\n".join(rows) + "\n"

    for name, n in (("alloys", 200), ("monday", 60), ("tuesday", 70)):
        (root / f"{name}.csv").write_text(table(n))
    (root / "new").mkdir()
    rows = "".join(f"{n},x\n" for n in range(80, 130))
    (root / "new" / "orders.csv").write_text(f"amount,item\n{rows}many,x\n")


@only_sqlite
def test_the_examples_give_what_the_page_says(server: ThreadServer, cluster: Cluster) -> None:
    cluster.environment |= {"MATERIA_PROCESSES_PER_JOB": "1", "MATERIA_NEW_DATA_SETTLE_S": "0.2"}
    cluster.worker()
    root = settings.current().data_root
    write_tables(root)
    found: dict[str, Any] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        for code in blocks("python"):
            for place, url in (("0", cluster.redis.url(0)), ("1", cluster.redis.url(1))):
                code = code.replace(f"redis://:PASSWORD@127.0.0.1:PORT/{place}", url)
            exec(code, found)  # noqa: S102 - the page is ours
    assert found["TimeoutError"] is celery.exceptions.TimeoutError
    assert found["model"]["status"] == "success"
    assert (root / found["model"]["model_path"]).is_file()
    search = found["search"]
    assert len(search["all_results"]) == 27
    assert "27 combinations" in PAGE
    assert search["best_score"] == max(one["score"] for one in search["all_results"])
    assert found["answer"]["total_predictions"] == 130
    assert all((root / name).is_file() for name in found["answer"]["output_files"])
    assert [file["file"] for file in found["found"]["files"]] == ["orders.csv"]
    # Unless the setting says otherwise, amounts of more than 100 are kept.
    assert (found["done"]["rows_written"], found["done"]["rows_rejected"]) == (29, 1)
    assert "processed/orders.csv 29 1" in printed.getvalue()
    assert printed.getvalue().endswith(f"{found['urgent'].get()} {found['slow'].get()}\n")
    found["app"].close()


@only_sqlite
def test_the_hourly_schedule_takes_new_files(server: ThreadServer, cluster: Cluster) -> None:
    cluster.environment["MATERIA_NEW_DATA_SETTLE_S"] = "0.2"
    cluster.worker()
    write_tables(settings.current().data_root)
    schedules.ensure_configured()
    show, run, change = (
        CliRunner().invoke(cli.app, shlex.split(line)[1:]) for line in blocks("sh")[0].splitlines()
    )
    assert "data_tasks.process_new_data" in show.stdout
    assert change.exit_code == cli.OK, change.output
    assert schedules.get("hourly-data-processing")["crontab"] == "*/30 * * * *"
    looked = cluster.wait(run.stdout.strip())
    (file,) = looked["result"]["files"]
    assert cluster.wait(file["task_id"])["result"]["rows_written"] == 29


def test_every_example_that_was_promised_is_on_the_page() -> None:
    for title in TITLES:
        assert f"## {title}" in PAGE
