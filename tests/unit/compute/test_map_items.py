"""Items over processes: order, failures, deaths, retries, limits and what is shared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import compute_bodies as bodies
import numpy as np
import pytest
from scipy.linalg import norm

from materia.compute import DIED, Done, Failed, backend, map_items, seed_of
from materia.errors import DataError, DefinitionError, StateError

MB = 2**20


def quietly(done: float, total: float | None, message: str) -> None:
    pass


def run(function: Any, items: Any, **options: Any) -> list[Any]:
    """Map with two processes, and check that none is left."""
    outcomes = map_items(function, items, **{"n_processes": 2, "progress": quietly} | options)
    assert bodies.members_left() == []
    return outcomes


def values(outcomes: list[Any]) -> list[Any]:
    return [outcome.value if isinstance(outcome, Done) else None for outcome in outcomes]


@pytest.mark.parametrize("n_processes", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(n_processes: int, tmp_path: Path) -> None:
    ends: list[int] = []
    outcomes = run(
        bodies.square_after_the_next,
        iter([0, 1, 2, 3]),
        shared=None if n_processes == 1 else str(tmp_path),
        n_processes=n_processes,
        on_result=lambda index, outcome: ends.append(index),
    )
    assert outcomes == [Done(0), Done(1), Done(4), Done(9)]
    assert sorted(ends) == [0, 1, 2, 3]
    assert (ends == [0, 1, 2, 3]) == (n_processes == 1)


def test_nothing_to_do_is_done_at_once() -> None:
    calls: list[Any] = []
    assert run(bodies.add, [], progress=lambda *call: calls.append(call)) == []
    assert calls == [(0, 0, "0 of 0 done")]


def test_a_failing_item_throws_away_no_other() -> None:
    outcomes = run(bodies.call, ["fine", "fail", "leave", "fine"])
    assert values(outcomes) == ["fine", None, None, "fine"]
    failed, left = outcomes[1], outcomes[2]
    assert (failed.error_type, failed.message) == ("ValueError", "this one is bad")
    assert "in fail" in failed.traceback and "compute_bodies.py" in failed.traceback
    assert (left.error_type, left.message) == ("SystemExit", "4")


@pytest.mark.parametrize("n_processes", [1, 3])
@pytest.mark.parametrize(
    ("death", "how"),
    [
        ("exit", "exit status 3"),
        ("segfault", "SIGSEGV"),
        ("killed", "SIGKILL"),
        ("hang_up", "exit status 0"),
    ],
)
def test_a_process_that_dies_fails_only_its_item(death: str, how: str, n_processes: int) -> None:
    items = ["fine", death, "fine", death, "fine", "fine"]
    outcomes = run(bodies.call, items, n_processes=n_processes)
    assert values(outcomes) == ["fine", None, "fine", None, "fine", "fine"]
    for outcome in (outcomes[1], outcomes[3]):
        assert outcome.error_type == DIED
        assert how in outcome.message


def test_a_request_to_stop_is_left_to_the_parent() -> None:
    assert run(bodies.call, ["terminated"]) == [Done("still here")]


@pytest.mark.parametrize("trouble", ["fail", "exit"])
def test_an_item_is_tried_again(trouble: str, tmp_path: Path) -> None:
    assert run(bodies.fail_at_first, [trouble, "fine"], shared=tmp_path, attempts=2) == [
        Done(trouble, attempts=2),
        Done("fine", attempts=1),
    ]


def test_an_item_fails_after_its_last_attempt() -> None:
    ends: list[tuple[int, Any]] = []
    items = ["exit", "fail", "fine"]
    outcomes = run(bodies.call, items, attempts=3, on_result=lambda *end: ends.append(end))
    assert [outcome.attempts for outcome in outcomes] == [3, 3, 1]
    assert dict(ends) == dict(enumerate(outcomes))
    assert len(ends) == 3


def test_results_that_cannot_be_sent_fail_only_their_item() -> None:
    outcomes = run(bodies.call, ["unpicklable", "unreadable", "fine"])
    assert values(outcomes) == [None, None, "fine"]
    assert "pickle" in outcomes[0].message
    assert outcomes[1].message.startswith("its result cannot be read: invalid literal")


def test_items_that_cannot_be_sent_fail_alone() -> None:
    outcomes = run(bodies.add, [lambda: None, 2, bodies.Unreadable(), 4], shared=1)
    assert values(outcomes) == [None, 3, None, 5]
    assert outcomes[0].message.startswith("cannot be sent")
    assert outcomes[2].error_type == "ValueError"


def test_large_items_and_results_pass() -> None:
    items = [np.full(3 * MB, float(i)) for i in range(3)]
    outcomes = run(bodies.add, items, shared=1.0)
    assert [outcome.value.sum() for outcome in outcomes] == [3.0 * MB, 6.0 * MB, 9.0 * MB]


def test_memory_beyond_the_limit_fails_the_item_and_not_the_process() -> None:
    outcomes = run(
        bodies.call, ["memory", "fine", "memory"], n_processes=1, memory_limit_bytes=1000 * MB
    )
    assert [type(outcome) for outcome in outcomes] == [Failed, Done, Failed]
    assert outcomes[0].error_type == outcomes[2].error_type == "MemoryError"
    assert "run_out_of_memory" in outcomes[0].traceback


def test_shared_arrays_take_no_memory_of_their_own(slack: int = 20 * MB) -> None:
    [without] = run(bodies.measured_sum, [0], shared=np.ones(1))
    big = np.ones((200 * MB) // 8)
    outcomes = run(bodies.measured_sum, [0, 1], shared=big)
    for outcome in outcomes:
        total, used = outcome.value
        assert total == big.size
        assert used < without.value[1] + slack
    limited = run(bodies.measured_sum, [0], shared=big, memory_limit_bytes=used + 100 * MB)
    assert limited[0].value[0] == big.size


def test_shared_arrays_are_read_only() -> None:
    big = np.zeros(3)
    outcomes = run(bodies.write_into, [0, 1], shared=big)
    assert [outcome.message for outcome in outcomes] == ["assignment destination is read-only"] * 2
    assert not big.any()


def test_what_is_shared_is_sent_once_for_each_process(tmp_path: Path) -> None:
    run(bodies.sleep, [0.2] * 12, shared=bodies.CountsLoads(tmp_path))
    marks = [path.stat().st_size for path in tmp_path.iterdir()]
    assert marks == [1, 1]


def test_numerics_have_one_thread_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    [outcome] = run(bodies.threads, [0])
    assert outcome.value and set(outcome.value) == {1}


def test_modules_of_the_working_folder_do_not_stand_in_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert run(bodies.add, [1], shared=1) == [Done(2)]


def test_an_item_may_map_in_turn() -> None:
    assert values(run(bodies.nested, [1, 2])) == [[2], [3]]


def test_progress_counts_and_goes_on_while_an_item_runs() -> None:
    calls: list[tuple[float, float | None, str]] = []
    run(bodies.sleep, [0.0, 1.6, "x"], progress=lambda *call: calls.append(call), attempts=2)
    assert calls[0] == (0, 3, "0 of 3 done")
    assert calls[-1] == (3, 3, "3 of 3 done, 1 of them failed")
    assert [call[0] for call in calls] == sorted(call[0] for call in calls)
    assert sum(call[0] == 2 for call in calls) >= 3


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"n_processes": 0}, "n_processes"),
        ({"attempts": 0}, "attempts"),
        ({"memory_limit_bytes": 0}, "memory_limit_bytes"),
    ],
)
def test_numbers_out_of_range_are_named(options: dict[str, int], path: str) -> None:
    with pytest.raises(DefinitionError, match="at least 1") as caught:
        run(bodies.add, [1], **options)
    assert caught.value.path == path


def test_a_function_without_a_name_is_refused() -> None:
    with pytest.raises(DefinitionError, match="top of a module"):
        run(lambda item, shared: item, [1])


def test_shared_data_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be sent"):
        run(bodies.add, [1], shared={"a": lambda: None})


@pytest.mark.parametrize(
    ("line", "reason"),
    [("raise ImportError('half a module')", "half a module"), ("os._exit(5)", "exit status 5")],
)
def test_a_function_that_no_process_can_load_ends_the_work(
    line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"import os\nif os.getpid() != {os.getpid()}:\n    {line}\ndef f(item, shared): ...\n"
    (tmp_path / "only_here.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(StateError, match=reason):
        run(only_here.f, range(10))
    assert bodies.members_left() == []


def test_a_memory_limit_too_small_to_load_within_is_named() -> None:
    with pytest.raises(StateError, match="memory limit"):
        run(norm, [1], memory_limit_bytes=1 * MB)


def test_a_seed_depends_on_the_place_only() -> None:
    seeds = [seed_of(seed, index) for seed in range(20) for index in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds == [seed_of(seed, index) for seed in range(20) for index in range(200)]
    assert seed_of(42, 3) == 4115715804


def test_a_backend_is_chosen_by_name() -> None:
    assert backend() is backend("processes") is map_items
    assert backend("ray") is not map_items
    with pytest.raises(DefinitionError, match="choose one of 'processes', 'ray'"):
        backend("abacus")
