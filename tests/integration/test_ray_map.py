"""The map over a Ray cluster keeps the promises of the one over local processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

UNIT = Path(__file__).parents[1] / "unit" / "compute"
sys.path.insert(0, str(UNIT))

import compute_bodies as bodies  # noqa: E402
import test_map_items as promises  # noqa: E402

from materia import settings  # noqa: E402
from materia.compute import DIED, Done, Failed, backend, cluster_nodes  # noqa: E402
from materia.compute.cluster import driver, link  # noqa: E402
from materia.compute.cluster.place import DASHBOARD_PORT  # noqa: E402
from materia.errors import MissingExtraError, StateError, TransientError  # noqa: E402
from materia.stack import ray_head as head  # noqa: E402
from ray_heads import RayHead, RayNode  # noqa: E402
from servers import is_alive, wait_until  # noqa: E402

pytestmark = pytest.mark.alone

PATIENCE_S = 60.0
OTHER_VERSION = """
import json, sys
from ray._raylet import GcsClient
head = GcsClient(address=sys.argv[1])
said = json.loads(head.internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=10))
said["ray_version"] = "1.2.3"
head.internal_kv_put(b"CLUSTER_METADATA", json.dumps(said).encode(), True, b"cluster", timeout=10)
"""


class Interrupted(Exception):
    """Raised by progress, as the cancel of a job does."""


def run(function: Any, items: Any, **options: Any) -> list[Any]:
    return backend()(function, items, **{"n_processes": 2, "progress": promises.quietly} | options)


@pytest.fixture(autouse=True)
def _on_ray(ray_head: RayHead, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ray_head.variables().items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    monkeypatch.setattr(promises, "run", run)
    yield
    settings.current.cache_clear()


def announced(folder: Path) -> list[int]:
    paths = [folder / "0.pid", folder / "1.pid"]
    wait_until(lambda: all(p.is_file() and p.read_text() for p in paths), "both run", PATIENCE_S)
    return [int(path.read_text()) for path in paths]


def gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), f"{pids} are gone", PATIENCE_S)


@pytest.mark.parametrize(
    "promise",
    [
        promises.test_nothing_to_do_is_done_at_once,
        promises.test_a_failing_item_throws_away_no_other,
        promises.test_an_item_fails_after_its_last_attempt,
        promises.test_results_that_cannot_be_sent_fail_only_their_item,
        promises.test_items_that_cannot_be_sent_fail_alone,
        promises.test_large_items_and_results_pass,
        promises.test_memory_beyond_the_limit_fails_the_item_and_not_the_process,
        promises.test_shared_arrays_are_read_only,
        promises.test_an_item_may_map_in_turn,
        promises.test_progress_counts_and_goes_on_while_an_item_runs,
        promises.test_a_function_without_a_name_is_refused,
        promises.test_shared_data_that_cannot_be_sent_is_refused,
        lambda: promises.test_numbers_out_of_range_are_named({"n_processes": 0}, "n_processes"),
    ],
    ids=lambda promise: promise.__name__.removeprefix("test_"),
)
def test_the_promise_of_local_processes_is_kept(promise: Callable[[], None]) -> None:
    promise()


@pytest.mark.parametrize("n_processes", [1, 5])
def test_results_come_in_the_order_of_the_items(n_processes: int, tmp_path: Path) -> None:
    promises.test_results_come_in_the_order_of_the_items(n_processes, tmp_path)


def test_shared_arrays_take_no_memory_of_their_own() -> None:
    # Programs of Ray differ by more among themselves; a copy would be 200 MB.
    promises.test_shared_arrays_take_no_memory_of_their_own(slack=60 * promises.MB)


def test_what_is_shared_is_read_once_for_each_process(tmp_path: Path) -> None:
    promises.test_what_is_shared_is_sent_once_for_each_process(tmp_path)


def test_numerics_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    promises.test_numerics_have_one_thread_for_each_process(monkeypatch)


@pytest.mark.parametrize("trouble", ["fail", "exit"])
def test_an_item_is_tried_again(trouble: str, tmp_path: Path) -> None:
    promises.test_an_item_is_tried_again(trouble, tmp_path)


def test_a_function_that_no_process_can_load_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "members_left", list)
    line, reason = "raise ImportError('half a module')", "half a module"
    promises.test_a_function_that_no_process_can_load_ends_the_work(
        line, reason, tmp_path, monkeypatch
    )


def test_a_process_that_dies_fails_only_its_item() -> None:
    items = ["fine", "exit", "fine", "segfault", "fine", "killed", "fine"]
    outcomes = run(bodies.call, items)
    assert promises.values(outcomes) == ["fine", None, "fine", None, "fine", None, "fine"]
    for index in (1, 3, 5):
        assert isinstance(outcomes[index], Failed)
        assert outcomes[index].error_type == DIED
        assert "died" in outcomes[index].message


def test_what_progress_raises_kills_what_runs(tmp_path: Path) -> None:
    def stop(done: float, total: float | None, message: str) -> None:
        if (tmp_path / "1.pid").is_file() and (tmp_path / "0.pid").is_file():
            raise Interrupted

    with pytest.raises(Interrupted):
        run(bodies.announce_and_hang, [0, 1], shared=tmp_path, progress=stop)
    gone(announced(tmp_path))
    assert run(bodies.add, [1], shared=1) == [Done(2)]


def test_what_a_killed_process_had_on_the_cluster_is_killed(tmp_path: Path) -> None:
    line = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import compute_bodies as bodies; "
    program = subprocess.Popen(
        [
            *(sys.executable, "-c", line + "bodies.map_on_ray_for_ever(pathlib.Path(sys.argv[2]))"),
            *(str(UNIT), str(tmp_path)),
        ]
    )
    pids = announced(tmp_path)
    program.kill()
    program.wait(PATIENCE_S)
    gone(pids)


def test_a_signal_whose_exception_cancels_is_heard_at_once(tmp_path: Path) -> None:
    """As Celery's soft limit: the items are in native code that hears nothing."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    def arm(done: float, total: float | None, message: str) -> None:
        if (tmp_path / "1.pid").is_file() and not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.alarm(1)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            run(bodies.announce_and_hang, [0, 1], shared=tmp_path, progress=arm)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    gone(announced(tmp_path))


def test_what_is_logged_on_the_cluster_carries_the_ids_of_the_job() -> None:
    with structlog.contextvars.bound_contextvars(job_id="job-1", campaign_id="campaign-1"):
        (done,) = run(bodies.log_and_say_where, [7])
    wait_until(lambda: "item 7 is hot" in Path(done.value).read_text(), "the line is written")
    written = Path(done.value).read_text().splitlines()
    line = json.loads(next(line for line in written if "item 7 is hot" in line))
    assert (line["job_id"], line["campaign_id"]) == ("job-1", "campaign-1")

    (done,) = run(bodies.log_and_say_where, [8])
    wait_until(lambda: "item 8 is hot" in Path(done.value).read_text(), "the line is written")
    written = Path(done.value).read_text().splitlines()
    assert "job_id" not in json.loads(next(line for line in written if "item 8 is hot" in line))


def test_a_driver_is_kept_from_map_to_map() -> None:
    run(bodies.add, [1], shared=1)
    kept = link._kept
    assert run(bodies.add, [2], shared=2) == [Done(4)]
    assert kept is not None and link._kept is kept


def test_the_nodes_of_a_head_are_told_and_a_lost_one_is_survived(
    ray_head: RayHead, tmp_path: Path
) -> None:
    assert [node["alive"] for node in cluster_nodes(PATIENCE_S)] == [True]
    node = RayNode(ray_head, n_cpus=2)
    try:
        wait_until(lambda: len(cluster_nodes(PATIENCE_S)) == 2, "the node is there", 120.0)
        items = [0, 1, 2, 3]
        killed = []

        def lose(done: float, total: float | None, message: str) -> None:
            begun = {p.stem: int(p.read_text() or 0) for p in tmp_path.glob("*.pid")}
            mine = set(node.processes()) & set(begun.values())
            if not killed and len(begun) == 4 and mine:
                killed.extend(mine)
                node.kill()
                (tmp_path / "go").touch()

        outcomes = run(
            bodies.wait_for_go, items, shared=tmp_path, n_processes=4, attempts=2, progress=lose
        )
        assert promises.values(outcomes) == items
        assert [outcome.attempts for outcome in outcomes].count(2) == len(killed) > 0
        wait_until(
            lambda: [n["alive"] for n in cluster_nodes(PATIENCE_S)].count(False) == 1,
            "the node counts as dead",
            120.0,
        )
        [dead] = [n for n in cluster_nodes(PATIENCE_S) if not n["alive"]]
        assert dead["reason"]
    finally:
        node.kill()


def test_a_wrong_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_RAY_TOKEN", "not the token of this head at all")
    settings.current.cache_clear()
    with pytest.raises(StateError, match="refuses the token"):
        cluster_nodes(PATIENCE_S)
    with pytest.raises(StateError, match="refuses the token"):
        run(bodies.add, [1], shared=1)


def test_a_cluster_that_is_not_there_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("MATERIA_RAY_DASHBOARD_URL", "http://127.0.0.1:1")
    settings.current.cache_clear()
    started = time.monotonic()
    with pytest.raises(TransientError, match="does not answer"):
        cluster_nodes(PATIENCE_S)
    with pytest.raises(TransientError, match="cannot be reached"):
        run(bodies.add, [1], shared=1)
    assert time.monotonic() - started < PATIENCE_S


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"materia\[ray\]"):
        run(bodies.add, [1], shared=1)


def test_a_head_that_was_started_again_is_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RayHead(tmp_path)
    try:
        own.start()
        for name, value in own.variables().items():
            monkeypatch.setenv(name, value)
        settings.current.cache_clear()
        before = own.place
        (tmp_path / "items").mkdir()

        def lose(done: float, total: float | None, message: str) -> None:
            if (tmp_path / "items" / "1.pid").is_file() and own.is_alive():
                own.kill()

        with pytest.raises(TransientError):
            run(bodies.announce_and_hang, [0, 1], shared=tmp_path / "items", progress=lose)
        with pytest.raises(TransientError):
            run(bodies.add, [1], shared=1)
        gone(announced(tmp_path / "items"))
        assert own.processes() == []
        own.start()
        assert own.place.port != before.port
        assert run(bodies.add, [1, 2], shared=1) == [Done(2), Done(3)]
        subprocess.run(
            [sys.executable, "-c", OTHER_VERSION, own.place.address],
            env={**os.environ, **own.place.environment},
            check=True,
        )
        link.leave()
        with pytest.raises(StateError, match=r"of another version.* 1\.2\.3"):
            run(bodies.add, [1], shared=1)
        own.stop()
        assert own.processes() == []
        assert not own.place_file.exists()
    finally:
        own.kill()


def test_importing_materia_does_not_import_ray() -> None:
    code = "import sys, materia.compute, materia.tasks; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "ray" not in sys.modules, os.getpid()


def test_the_documented_example_prints_every_node(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(example, {})  # noqa: S102 - our own document
    assert "127.0.0.1 alive 2.0" in capsys.readouterr().out


def test_the_documented_figures_of_clusters_are_those_of_the_code() -> None:
    root = Path(__file__).parents[2] / "docs"
    page, record = (
        (root / "clusters.md").read_text(),
        (root / "decisions/ray-drivers.md").read_text(),
    )
    assert head.IDLE_WORKERS_PER_CPU == 4 and "four times their CPUs" in page
    assert head.STORE_SHARE == 0.2 and head.STORE_BYTES[1] == 4_000_000_000
    assert "a fifth of its memory, at most 4 GB" in page
    assert (head.WORKER_PORTS[0], head.WORKER_PORTS[-1]) == (10002, 19999)
    assert "10002 to 19999" in page and f"port {DASHBOARD_PORT}" in page
    assert driver.IDLE_S == 30 and "leaves after 30 s" in record
