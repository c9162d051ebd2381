"""Tables processed by a plain Celery client, on real workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures import only_postgresql, only_sqlite
from materia import settings
from materia.services import jobs
from servers import wait_until
from workers import Cluster


@pytest.fixture
def root(cluster: Cluster) -> Path:
    cluster.environment["MATERIA_NEW_DATA_SETTLE_S"] = "0.2"
    return settings.current().data_root


def ask(cluster: Cluster, task: str, **kwargs: Any) -> Any:
    return cluster.client().send_task(f"tasks.data_tasks.{task}", kwargs=kwargs, queue="data")


def orders(path: Path, n: int, start: int = 0) -> None:
    rows = (f"{i},{i % 7},item {i % 3}" for i in range(start, start + n))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("amount,group,name\n" + "\n".join(rows) + "\n")


@only_sqlite
def test_a_table_is_processed_and_every_row_accounted_for(cluster: Cluster, root: Path) -> None:
    cluster.worker()
    orders(root / "orders.csv", 1000)
    with (root / "orders.csv").open("a") as file:
        file.write("not a number,1,x\n7,1\n")
    found = ask(
        cluster,
        "process_large_csv",
        file_path="orders.csv",
        output_path="out/orders.csv",
        transformations={
            "filter": {"amount": 100},
            "new_columns": {"double": "2 * amount"},
            "num_chunks": 10,
        },
    ).get(timeout=120)
    assert found["status"] == "success"
    assert (found["rows_read"], found["rows_written"]) == (1002, 899)
    assert (found["rows_filtered"], found["rows_rejected"]) == (101, 2)
    assert (found["input_file"], found["output_file"]) == ("orders.csv", "out/orders.csv")
    lines = (root / "out" / "orders.csv").read_text().splitlines()
    assert lines[0] == "amount,group,name,double"
    assert len(lines) == 900
    assert len((root / found["rejects_file"]).read_text().splitlines()) == 3


@only_sqlite
def test_tables_are_aggregated(cluster: Cluster, root: Path) -> None:
    cluster.worker()
    orders(root / "a.csv", 10)
    orders(root / "b.csv", 5, start=10)
    found = ask(
        cluster, "aggregate_data", data_sources=["a.csv", "b.csv"], output_path="sum.csv"
    ).get(timeout=120)
    assert (found["status"], found["total_rows"], found["num_sources"]) == ("success", 15, 2)
    assert [(one["source"], one["rows"]) for one in found["summaries"]] == [
        ("a.csv", 10),
        ("b.csv", 5),
    ]
    assert (root / found["output_file"]).is_file()


@only_sqlite
@pytest.mark.parametrize(
    ("path", "code"), [("../../etc/passwd", "access"), ("missing.csv", "data")]
)
def test_a_path_that_will_not_do_fails_at_once(
    cluster: Cluster, root: Path, path: str, code: str
) -> None:
    cluster.worker()
    asked = ask(cluster, "process_large_csv", file_path=path, output_path="x.csv")
    with pytest.raises(Exception):  # noqa: B017 - Celery makes the class anew
        asked.get(timeout=120)
    row = jobs.get(asked.id)
    assert (row["state"], row["attempt"]) == ("FAILED", 1)
    assert code in row["error"]["code"]
    assert not (root / "x.csv").exists()


@only_postgresql
def test_new_files_are_taken_once_and_put_away(cluster: Cluster, root: Path) -> None:
    transformations = {"filter": {"amount": 5}}
    cluster.environment["MATERIA_NEW_DATA_TRANSFORMATIONS"] = json.dumps(transformations)
    cluster.worker()
    assert ask(cluster, "process_new_data").get(timeout=120)["status"] == "no_data"
    orders(root / "new" / "good.csv", 10)
    (root / "new" / "bad.csv").write_text("amount,x\n1,2\n")
    (root / "new" / "bad.csv").write_text("other\n1\n")
    found = ask(cluster, "process_new_data").get(timeout=120)
    assert found["status"] == "scheduled"
    assert {one["file"] for one in found["files"]} == {"good.csv", "bad.csv"}
    states = {one["file"]: cluster.wait(one["task_id"])["state"] for one in found["files"]}
    assert states == {"good.csv": "SUCCEEDED", "bad.csv": "FAILED"}
    assert len((root / "processed" / "good.csv").read_text().splitlines()) == 5

    # The same content under another name is not taken again.
    orders(root / "new" / "again.csv", 10)
    found = ask(cluster, "process_new_data").get(timeout=120)
    assert (found["status"], found["files"]) == ("no_data", [])
    new = root / "new"
    wait_until(lambda: not list(new.glob("*.csv")), "the inbox is empty")
    assert {path.name for path in (new / "done").iterdir()} == {"good.csv", "again.csv"}
    assert (new / "failed" / "bad.csv").is_file()
    assert "amount" in (new / "failed" / "bad.csv.reason.txt").read_text()
