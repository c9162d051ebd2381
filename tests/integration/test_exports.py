"""Exports of campaigns: every format, what is refused, clean-up, and a worker with its server."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from campaigns_under_test import branin_currin, finished
from fixtures import only_sqlite
from materia import cli, errors, settings
from materia.api.app import create_app
from materia.client import Client
from materia.mdl import load
from materia.services import campaigns, export_results, exports, retention, submission, tasks
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store.database import database
from materia.store.jobs import JobState
from materia.store.tables import jobs as job_table
from serving import BASE, InProcess, ThreadServer, in_process
from workers import Cluster

N = 2300
DAY_S = 86400.0
GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

pytestmark = [
    pytest.mark.usefixtures("backends"),
    only_sqlite,
]


def campaign_of(n: int) -> str:
    """Return a campaign with `n` candidates as steps write them; the last one has failed."""
    campaign_id = campaigns.run(branin_currin(name="coats_2"))["campaign_id"]
    source = branin_currin(name="coats_2")
    gas = {"name": "gas", "type": "categorical", "choices": ["=1+1", "N2"]}
    source["parameters"].append(gas)
    definition = load(source).model_dump(mode="json")
    rows = [
        {
            "campaign_id": campaign_id,
            "number": i,
            "id": f"c{i + 1:04d}",
            "iteration": i // 4,
            "state": "told" if i < n - 1 else "failed",
            "params": {"x1": i / n, "x2": 0.5, "gas": ("=1+1", "N2")[i % 2]},
            "predicted": {"branin": {"mean": -1.5, "std": 0.1}},
            "why": {"source": "initial design"},
            "outcomes": {"branin": float(i), "currin": -float(i)} if i < n - 1 else None,
        }
        for i in range(n)
    ]
    if n > 1:
        # Seen in the last piece only: columns are those of all candidates.
        rows[n - 2]["outcomes"] = {"branin": [float(n - 2), 0.25], "currin": -float(n - 2)}
    with unit_of_work() as work:
        campaign_rows.change(work.connection, campaign_id, {"definition": definition})
        campaign_rows.add_candidates(work.connection, rows)
        campaign_rows.mark_front(work.connection, campaign_id, ["c0001"] if n else [])
        last = {"campaign_id": campaign_id, "candidate_id": f"c{n - 1:04d}", "state": "told"}
        if n > 1:
            told = {**last, "details": {"note": "@SUM(A1)"}, "finished_at": 1.0}
            campaign_rows.add_evaluation(work.connection, told)
    return campaign_id


def exported(campaign_id: str, kind: str) -> tuple[dict[str, Any], Path]:
    """Return the result of an export, and its file."""
    result = export_results.export_results(campaign_id, kind).result
    assert result["status"] == "success"
    path = settings.current().data_root / result["file"]
    assert path.stat().st_size == result["size_bytes"]
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return result, path


def test_csv_holds_every_candidate_and_no_formula() -> None:
    result, path = exported(campaign_of(N), "csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert (result["rows"], len(rows), len(rows[0])) == (N, N, result["columns"])
    assert [rows[0]["gas"], rows[1]["gas"]] == ["'=1+1", "N2"]
    assert [rows[0]["is_front"], rows[1]["is_front"]] == ["1", "0"]
    assert [rows[5]["iteration"], rows[5]["state"], rows[-1]["state"]] == ["1", "told", "failed"]
    assert [rows[3]["currin"], rows[3]["branin_predicted"]] == ["-3.0", "-1.5"]
    assert [rows[-2]["branin_sem"], rows[-2]["note"]] == ["0.25", "'@SUM(A1)"]
    assert [rows[-1]["branin"], rows[0]["branin_sem"]] == ["", ""]


def test_json_is_a_list_of_objects_with_values_as_they_are() -> None:
    result, path = exported(campaign_of(N), "json")
    rows = json.loads(path.read_bytes())
    assert (result["rows"], len(rows), len(rows[0])) == (N, N, result["columns"])
    assert (rows[0]["gas"], rows[-2]["note"]) == ("=1+1", "@SUM(A1)")
    assert (rows[3]["currin"], rows[-1]["currin"], rows[0]["branin_sem"]) == (-3.0, None, None)


def test_parquet_has_types() -> None:
    result, path = exported(campaign_of(N), "parquet")
    frame = pl.read_parquet(path)
    assert frame.shape == (N, result["columns"])
    types = {name: frame.schema[name] for name in ("id", "iteration", "x1", "branin_sem", "note")}
    assert list(types.values()) == [pl.String, pl.Int64, pl.Float64, pl.Float64, pl.String]
    assert frame["x1"].to_list() == [i / N for i in range(N)]
    assert frame["branin_sem"].null_count() == N - 1


def test_xlsx_keeps_numbers_as_numbers_and_has_no_formula() -> None:
    result, path = exported(campaign_of(N), "xlsx")
    with zipfile.ZipFile(path) as book:
        assert book.testzip() is None
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == N + 1
    assert result["rows"] == N
    assert "<f>" not in sheet
    assert re.search(r"<v>-3</v>", sheet)
    assert "&#39;=1+1" in sheet or "'=1+1" in sheet
    assert "'@SUM(A1)" in sheet


@pytest.mark.parametrize("kind", exports.FORMATS)
def test_a_campaign_without_candidates_is_a_file_with_columns_only(kind: str) -> None:
    result, path = exported(campaign_of(0), kind)
    assert result["rows"] == 0
    assert path.stat().st_size > 0


def test_an_export_leads_nowhere_else(tmp_path: Path) -> None:
    campaign_id = campaign_of(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (settings.current().data_root / "exports").symlink_to(elsewhere)
    with pytest.raises((errors.AccessError, errors.DataError)):
        export_results.export_results(campaign_id, "csv")
    assert not list(elsewhere.iterdir())


def test_a_wrong_format_or_campaign_is_refused_before_there_is_a_job() -> None:
    campaign_id = campaign_of(1)
    with in_process() as client:
        path = f"{BASE}/campaigns/{campaign_id}/export"
        refused = client.post(path, json={"format": "xls"})
        assert (refused.status_code, refused.json()["path"]) == (422, "format")
        assert client.post(f"{BASE}/campaigns/nothing/export", json={}).status_code == 404
    for wrong, at in (
        ({"campaign_id": campaign_id, "format": "xls"}, "format"),
        ({"campaign_id": "../x", "format": "csv"}, "campaign_id"),
        ({"campaign_id": campaign_id, "output": "/etc/x.csv"}, "output"),
    ):
        with pytest.raises(errors.DefinitionError) as found:
            tasks.require(exports.TASK, [], wrong)
        assert found.value.path in (at, f"kwargs.{at}")


def ended(state: JobState, task: str, result: dict[str, Any] | None) -> str:
    """Return the id of a job that has ended so."""
    new = NewJob(task=task, id=str(uuid.uuid4()), kwargs={"campaign_id": "x"})
    submission.submit(new)
    values = {"state": state, "finished_at": time.time(), "result": result}
    with database().write() as connection:
        connection.execute(job_table.update().where(job_table.c.id == new.id).values(values))
    return str(new.id)


def test_only_the_files_of_exports_are_sent(tmp_path: Path) -> None:
    result, path = exported(campaign_of(3), "json")
    secret = settings.current().data_root / "secret.csv"
    secret.write_text("x")
    with Client("http://test", transport=InProcess(create_app(), raises=True)) as client:
        done = ended(JobState.SUCCEEDED, exports.TASK, result)
        assert client.jobs.download(done, tmp_path / "here" / "a.json").read_bytes() == (
            path.read_bytes()
        )
        failed = ended(JobState.FAILED, exports.TASK, None)
        other = ended(JobState.SUCCEEDED, "tasks.simple_tasks.ping", result)
        for name in ("secret.csv", "../materia.db", "/etc/passwd", ""):
            wrong = ended(JobState.SUCCEEDED, exports.TASK, {**result, "file": name})
            with pytest.raises(errors.NotFoundError):
                client.jobs.download(wrong, tmp_path / "b")
        with pytest.raises(errors.NotFoundError, match="writes no file"):
            client.jobs.download(other, tmp_path / "b")
        path.unlink()
        with pytest.raises(errors.NotFoundError, match="is gone"):
            client.jobs.download(done, tmp_path / "b")
    with in_process() as http:
        assert http.get(f"{BASE}/jobs/{failed}/file").status_code == 409
    assert [one.name for one in tmp_path.glob("b*")] == []


def test_old_exports_are_deleted_and_nothing_else_is() -> None:
    campaign_id = campaign_of(2)
    old, young = exported(campaign_id, "csv")[1], campaign_of(2)
    others = [old.with_name("mine.csv"), settings.current().data_root / "mine.csv"]
    for other in others:
        other.write_text("x")
    for path in (old, *others):
        os.utime(path, (1.0, time.time() - 8 * DAY_S))
    kept = exported(young, "csv")[1]
    assert retention.cleanup_old_results().result["exports_deleted"] == 1
    assert not old.exists()
    assert all(path.exists() for path in (kept, *others))
    for path in (kept, *others):
        os.utime(path, (1.0, time.time() - 8 * DAY_S))
    others[0].unlink()
    assert retention.cleanup_old_results().result["exports_deleted"] == 1
    assert not kept.parent.exists()


def test_a_worker_writes_what_the_guide_exports(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.worker()
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    finished(cluster, campaign_id)
    monkeypatch.chdir(tmp_path)
    section = GUIDE.partition('id="exports"')[2].partition("**Once.**")[0]
    (line,) = re.findall(r"^materia (campaign export .+)$", section, re.M)
    (code,) = re.findall(r"^```python\n(.+?)^```", section, re.M | re.S)
    with ThreadServer() as server:
        monkeypatch.setenv("MATERIA_SERVER", server.url)
        done = CliRunner().invoke(cli.app, shlex.split(line))
        assert done.exit_code == 0, (done.output, done.exception)
        exec(code.replace("Client.local()", f"Client({server.url!r})"), {})  # noqa: S102 - ours
    assert "results.xlsx: 22 candidates" in done.output
    with zipfile.ZipFile("results.xlsx") as book:
        assert book.read("xl/worksheets/sheet1.xml").count(b"<row ") == 23
    frame = pl.read_parquet("results.parquet")
    found = campaigns.candidates(campaign_id)[0]
    assert frame["id"].to_list() == [row["id"] for row in found]
    assert frame["x1"].to_list() == [row["params"]["x1"] for row in found]
    assert frame["currin"].to_list() == [row["outcomes"]["currin"] for row in found]
    queues = {row["queue"] for row in _jobs_of(exports.TASK)}
    assert queues == {"low_priority"}


def _jobs_of(task: str) -> list[dict[str, Any]]:
    with database().read() as connection:
        query = job_table.select().where(job_table.c.task == task)
        return [dict(row) for row in connection.execute(query).mappings()]
