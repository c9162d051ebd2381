"""Files dropped into the inbox on real workers: each keeps its output, and may have another try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fixtures import only_sqlite
from materia import settings
from materia.errors import TransientError
from materia.services import tabular
from materia.services.running import Outcome
from materia.services.work import unit_of_work
from materia.store import jobs as job_rows
from materia.store.database import database
from workers import Cluster


@pytest.fixture
def root(cluster: Cluster) -> Path:
    cluster.environment["MATERIA_NEW_DATA_SETTLE_S"] = "0.05"
    cluster.environment["MATERIA_NEW_DATA_TRANSFORMATIONS"] = '{"filter": {"amount": 0}}'
    root = settings.current().data_root
    (root / "new").mkdir()
    cluster.worker()
    return root


def taken(cluster: Cluster) -> dict[str, tuple[str, Path]]:
    """Look into the inbox; return state and output of what was taken, when all has ended."""
    asked = cluster.client().send_task("tasks.data_tasks.process_new_data", queue="data")
    found: list[dict[str, Any]] = asked.get(timeout=120)["files"]
    outputs = settings.current().data_root
    return {
        one["file"]: (cluster.wait(one["task_id"])["state"], outputs / one["output_file"])
        for one in found
    }


def table(*amounts: object) -> str:
    return "".join(f"{line}\n" for line in ("amount", *amounts))


@only_sqlite
def test_no_delivery_loses_its_output_to_another_one(cluster: Cluster, root: Path) -> None:
    new = root / "new"
    (new / "a.csv").write_text(table(1, "two"))
    (new / "a.rejects.csv").write_text(table(3))
    (new / "sales.csv").write_text(table(4))
    first = taken(cluster)
    (new / "sales.csv").write_text(table(5, 6))
    second = taken(cluster)
    assert [state for state, _ in [*first.values(), *second.values()]] == ["SUCCEEDED"] * 4
    assert first["a.csv"][1].read_text() == table(1)
    assert first["a.rejects.csv"][1].read_text() == table(3)
    assert first["sales.csv"][1] == root / "processed" / "sales.csv"
    assert first["sales.csv"][1].read_text() == table(4)
    assert second["sales.csv"][1] == root / "processed" / "sales-1.csv"
    assert second["sales.csv"][1].read_text() == table(5, 6)
    rejected = [path.read_text() for path in (root / "processed").iterdir()]
    assert sum("two" in text for text in rejected) == 1


@only_sqlite
def test_a_file_that_failed_is_taken_again_when_it_is_dropped_again(
    cluster: Cluster, root: Path
) -> None:
    new, failed = root / "new", root / "new" / "failed"
    (new / "bad.csv").write_text("other\n1\n")
    for attempt in range(3):
        assert taken(cluster)["bad.csv"][0] == "FAILED"
        assert taken(cluster) == {}
        assert [path.name for path in new.iterdir()] == ["failed"]
        reason = (failed / "bad.csv.reason.txt").read_text()
        assert "amount" in reason
        assert "move it back into 'new'" in reason
        if attempt == 0:
            (failed / "bad.csv").rename(new / "bad.csv")
        else:
            (new / "bad.csv").write_text("other\n1\n")
            (failed / "bad.csv").unlink()

    # What succeeded stays known for ever.
    (new / "bad.csv").unlink()
    (new / "good.csv").write_text(table(1))
    assert taken(cluster)["good.csv"][0] == "SUCCEEDED"
    (new / "good.csv").rename(new / "again.csv")
    assert taken(cluster) == {}
    assert (new / "done" / "again.csv").is_file()


@pytest.mark.usefixtures("backends")
@only_sqlite
def test_looks_at_the_same_moment_never_give_two_files_one_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MATERIA_NEW_DATA_SETTLE_S", "0.01")
    settings.current.cache_clear()
    new = settings.current().data_root / "new"
    new.mkdir()
    looks = []
    for amount in (1, 2):
        (new / "sales.csv").write_text(table(amount))
        looks.append(tabular.process_new_data())
    same = tabular.process_new_data()
    outputs = [look.result["files"][0]["output_file"] for look in looks]
    assert outputs == ["processed/sales.csv"] * 2
    commit(looks[0])
    with pytest.raises(TransientError, match=r"another look .* 'sales\.csv'"):
        commit(looks[1])
    again = tabular.process_new_data()
    assert again.result["files"][0]["output_file"] == "processed/sales-1.csv"
    commit(again)
    commit(same)
    with database().read() as connection:
        jobs = job_rows.without_success(connection, tabular.KEY)
    assert sorted(job["kwargs"]["output_path"] for job in jobs) == [
        "processed/sales-1.csv",
        "processed/sales.csv",
    ]


def commit(look: Outcome) -> None:
    """Do what the job of a look does at its end."""
    assert look.effects is not None
    with unit_of_work() as work:
        look.effects(work)
