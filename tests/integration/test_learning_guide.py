"""What `docs/tables-and-learning.md` and `docs/jobs.md` show is run as a reader would run it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli, settings
from materia.client import Client
from materia.errors import AccessError, DataError, DefinitionError, NotFoundError
from materia.ml.retraining import MIN_HELD_OUT
from materia.services import datasets, jobs, retrainings
from materia.services.submission import NewJob, submit
from serving import BEARER, ThreadServer, serving_commands
from workers import Cluster

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tables-and-learning.md").read_text()


def commands(page: str, beginning: str) -> list[str]:
    """Return the lines of the block of commands that begins so."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.S)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return [line for line in block.replace("\\\n", " ").splitlines() if line]


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that commands find by the environment."""
    with serving_commands(monkeypatch) as started:
        yield started


@pytest.fixture
def orders(backends: dict[str, str]) -> Path:
    """Write a table of orders below the data root."""
    rng = np.random.default_rng(1)
    price, amount = rng.uniform(1, 9, 120), rng.integers(1, 9, 120)
    lines = [
        f"{'Ulm' if n % 2 else 'Bonn'},{n},{p:.4f}"
        for n, p in zip(amount, price + amount, strict=True)
    ]
    path = settings.current().data_root / "orders.csv"
    path.write_text("city,amount,price\n" + "\n".join(lines) + "\n")
    return path


def run(line: str, **names: str) -> Result:
    for name, value in names.items():
        line = line.replace(name, value)
    return CliRunner().invoke(cli.app, shlex.split(line)[1:])


def printed(line: str, **names: str) -> str:
    result = run(line, **names)
    assert result.exit_code == cli.OK, f"{line}: {result.output} {result.exception!r}"
    return str(result.stdout)


@only_sqlite
def test_the_commands_of_the_guide_run_in_their_order(
    server: ThreadServer, cluster: Cluster, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.worker()
    monkeypatch.chdir(orders.parent)
    add, listing, show, train, list_models, predict = commands(PAGE, "materia dataset add")
    assert "amount" in printed(add)
    assert "orders.csv" in printed(listing)
    assert "number" in printed(show)
    trained = json.loads(printed(train))
    assert trained["model_id"] in printed(list_models)
    answer = json.loads(printed(predict, MODEL=trained["model_id"]))
    assert answer["total_predictions"] == 120
    details = printed(f"materia model show {trained['model_id']}")
    assert "price" in details and "amount" in details

    (wrong,) = commands(
        PAGE, "materia job submit ml_tasks.distributed_training dataset_path=orders"
    )
    refused = run(wrong)
    assert isinstance(refused.exception, DefinitionError)
    assert cli.exit_code(refused.exception) == cli.INVALID
    assert refused.exception.hint == "did you mean 'n_estimators'?"
    assert "did you mean 'n_estimators'?" in PAGE

    add, table, retrain, history, predict, change, schedule = commands(
        PAGE, "materia model retraining add"
    )
    assert "prices: daily from orders.csv" in printed(add)
    promoted = json.loads(printed(retrain))
    assert promoted["outcome"] == "promoted"
    assert promoted["model_id"] in printed(table)
    assert "promoted" in printed(history)
    assert json.loads(printed(predict))["total_predictions"] == 120
    assert "on demand" in printed(change)
    printed(schedule)
    assert run(f"materia model delete {promoted['model_id']}").exit_code != cli.OK
    assert "is deleted" in printed("materia model retraining delete prices")
    assert "is deleted" in printed(f"materia model delete {promoted['model_id']}")


@only_sqlite
def test_the_commands_for_jobs_run_in_their_order(server: ThreadServer, cluster: Cluster) -> None:
    worker = cluster.worker()
    page = (DOCS / "jobs.md").read_text()
    wait, submitted, listed, watch, log, result, cancel = commands(page, "materia job submit")
    pong = {"status": "pong", "worker": "celery"}
    assert json.loads(printed(wait)) == pong
    job_id = printed(submitted).strip()
    assert job_id[:8] in printed(listed)
    assert json.loads(printed(watch, JOB=job_id)) == pong
    printed(log, JOB=job_id)
    assert json.loads(printed(result, JOB=job_id[:13])) == pong
    assert "SUCCEEDED" in printed(cancel, JOB=job_id)
    worker.kill()
    waiting = submit(NewJob(task="tasks.simple_tasks.ping"))["id"]
    early = run(f"materia job result {waiting}")
    assert "has no result yet" in str(early.exception)


@only_sqlite
def test_the_guide_says_what_the_code_says(backends: dict[str, str]) -> None:
    assert f"At least {MIN_HELD_OUT} rows must be held out" in PAGE
    assert f"{datasets.READ_WHOLE_BYTES // 2**20} MiB" in PAGE
    assert f"first {datasets.SAMPLE_ROWS} rows" in PAGE
    for row in retrainings.every():
        assert f"`{row['name']}`" in PAGE
        assert f"`{row['dataset_path']}`" in PAGE
        assert row["model_config"] == {"n_estimators": 100, "max_depth": 20}


@only_sqlite
def test_datasets_are_listed_and_described(server: ThreadServer, orders: Path) -> None:
    root = orders.parent
    for n in (0, 1):
        (root / f"days_part_{n}.csv").write_text("day,ok,target\n2026-01-02,true,1.5\n")
        (root / "weeks").mkdir(exist_ok=True)
        (root / "weeks" / f"part-{n}.csv").write_text("a,b\n1,2\nx\n")
    (root / "models").mkdir()
    (root / "models" / "no.csv").write_text("a\n1\n")
    (root / "link.csv").symlink_to("/etc/hostname")
    with Client(server.url) as client:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = client.datasets.list(limit=2, cursor=cursor)
            found += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        kinds = {entry["path"]: (entry["kind"], entry["n_files"]) for entry in found}
        assert kinds == {"days": ("parts", 2), "orders.csv": ("file", 1), "weeks": ("folder", 2)}
        shown = client.datasets.get("orders.csv")
        assert (shown["rows"], shown["rows_rejected"]) == (120, 0)
        types = {column["name"]: column["type"] for column in shown["columns"]}
        assert types == {"city": "text", "amount": "integer", "price": "number"}
        assert (shown["learning"]["target"], shown["learning"]["task"]) == ("price", "regression")
        orders.write_text(orders.read_text() + "Ulm,1,2\n")
        assert client.datasets.get("orders.csv")["sha256"] != shown["sha256"]
        days = client.datasets.get("days")
        assert [column["type"] for column in days["columns"]] == ["date", "boolean", "number"]
        weeks = client.datasets.get(str(root / "weeks"))
        assert (weeks["rows"], weeks["rows_rejected"], weeks["path"]) == (2, 2, "weeks")
        for path, kind in (
            ("../outside.csv", AccessError),
            ("link.csv", AccessError),
            ("nothing.csv", NotFoundError),
            ("orders.csv/x", NotFoundError),
        ):
            with pytest.raises(kind):
                client.datasets.get(path)
        with pytest.raises(DataError, match="separated"):
            client.datasets.get("orders.csv", delimiter=";")


@only_sqlite
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("..%2foutside.csv", 403),
        ("%2e%2e%2foutside.csv", 403),
        ("x%2f%2e%2e%2f%2e%2e%2foutside.csv", 403),
        ("%2fetc%2fpasswd", 403),
        ("%2fdev%2fzero", 403),
        ("orders.csv%00", 422),
        ("%252e%252e%252foutside.csv", 404),
    ],
)
def test_an_encoded_path_leads_nowhere_else(
    server: ThreadServer, orders: Path, path: str, status: int
) -> None:
    (orders.parent.parent / "outside.csv").write_text("secret\n1\n")
    connection = HTTPConnection("127.0.0.1", server.port)
    # As written: clients that tidy paths up would never send it.
    connection.request("GET", f"/api/v1/datasets/{path}", headers=BEARER)
    answer = connection.getresponse()
    assert answer.status == status
    assert b"secret" not in answer.read()
    connection.close()


@only_sqlite
def test_what_does_not_fit_leaves_no_job(server: ThreadServer, orders: Path) -> None:
    (orders.parent / "old.pkl").write_bytes(b"\x80\x04}.")
    with Client(server.url) as client:
        for kwargs, path in (
            ({"model_path": "old.pkl"}, "kwargs.model_path"),
            ({"model_id": "nobody"}, "kwargs.model_id"),
        ):
            with pytest.raises(DefinitionError) as refused:
                client.jobs.submit(
                    "tasks.ml_tasks.batch_predictions", {**kwargs, "data_batches": ["orders.csv"]}
                )
            assert refused.value.path == path
        with pytest.raises(DefinitionError):
            client.models.train("orders.csv", {"target": "prise"})
        with pytest.raises(DefinitionError):
            client.jobs.submit("tasks.ml_tasks.retrain_model", {"name": "nobody"})
    assert jobs.page(10)[1] == 0
