"""What is wrong with the arguments of a task is said before there is a job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from materia import settings
from materia.data.source import SUFFIXES
from materia.errors import AccessError, DataError, DefinitionError
from materia.services import arguments, tasks

TRAIN = "tasks.ml_tasks.distributed_training"
SEARCH = "tasks.ml_tasks.hyperparameter_search"
PREDICT = "tasks.ml_tasks.batch_predictions"
PROCESS = "tasks.data_tasks.process_large_csv"
AGGREGATE = "tasks.data_tasks.aggregate_data"
NOTIFY = "tasks.simple_tasks.send_notification"
CLEAN_UP = "tasks.campaign_tasks.cleanup_old_checkpoints"
THOUSAND = list(range(1, 1001))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data root with a table in it."""
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path))
    settings.current.cache_clear()
    found = settings.current().data_root
    found.mkdir(parents=True)
    (found / "a.csv").write_text("x,y,target\n" + "1,2,3\n4,5,6\n" * 20)
    (found / "old.pkl").write_bytes(b"\x80\x04}.")
    (tmp_path / "outside.csv").write_text("x\n1\n")
    return found


GOOD: list[tuple[str, dict[str, Any]]] = [
    (TRAIN, {"model_config": {"n_estimators": 5, "target": "y"}, "dataset_path": "a.csv"}),
    (TRAIN, {"model_config": {}, "dataset_path": "a.csv"}),
    (SEARCH, {"param_grid": {"n_estimators": [1, 2]}, "dataset_path": "a.csv", "cv": 2}),
    (SEARCH, {"param_grid": [{"estimator": "linear", "alpha": 0.1}], "dataset_path": "a.csv"}),
    (TRAIN, {"model_config": {"estimator": "lightgbm"}, "dataset_path": "a.csv"}),
    (
        SEARCH,
        {
            "param_grid": {"n_estimators": {"low": 5, "high": 50}},
            "strategy": "materia",
            "n_iter": 5,
            "dataset_path": "a.csv",
        },
    ),
    (PROCESS, {"file_path": "a.csv", "output_path": "new/b.csv"}),
    (
        PROCESS,
        {
            "file_path": "a.csv",
            "output_path": "b.parquet",
            "transformations": {"filter": {"x": 1}, "new_columns": {"s": "x + y"}, "sort": "-s"},
        },
    ),
    (AGGREGATE, {"data_sources": ["a.csv"], "group_by": ["x"], "aggregations": ["mean"]}),
    (NOTIFY, {"message": "done"}),
    (CLEAN_UP, {"keep_last": 0, "older_than_days": 1.5}),
]

BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (TRAIN, {"model_config": {"n_estimator": 5}}, "model_config.n_estimator", "n_estimators"),
    (TRAIN, {"model_config": {"n_estimators": 0}}, "model_config.n_estimators", "from 1"),
    (TRAIN, {"model_config": {"n_estimators": "ten"}}, "model_config.n_estimators", "from 1"),
    (TRAIN, {"model_config": {"n_jobs": 4}}, "model_config.n_jobs", "leave it out"),
    (TRAIN, {"model_config": {"estimator": "randomforest"}}, "model_config.estimator", "forest"),
    (TRAIN, {"model_config": {"num_partitions": 0}}, "model_config.num_partitions", ""),
    (TRAIN, {"model_config": {"metric": "r3"}}, "model_config.metric", "r2"),
    (TRAIN, {"model_config": {"target": "z"}}, "model_config.target", "x, y"),
    (TRAIN, {"model_config": [1]}, "model_config", "mapping"),
    (TRAIN, {"dataset_path": "b.csv"}, "dataset_path", "dataset"),
    (TRAIN, {"dataset_path": "../outside.csv"}, "dataset_path", "MATERIA_DATA_ROOTS"),
    (TRAIN, {"dataset_path": "/etc/passwd"}, "dataset_path", "MATERIA_DATA_ROOTS"),
    (TRAIN, {"dataset_path": 5}, "dataset_path", "text"),
    (TRAIN, {"dataset_path": "a\0.csv"}, "dataset_path", "path"),
    (SEARCH, {"param_grid": {}}, "param_grid", ""),
    (SEARCH, {"param_grid": {"max_depth": []}}, "param_grid.max_depth", ""),
    (SEARCH, {"param_grid": {"max_depth": 3}}, "param_grid.max_depth", ""),
    (SEARCH, {"param_grid": [{"depth": 3}]}, "param_grid[0].depth", "max_depth"),
    (SEARCH, {"param_grid": {"max_depth": [3, -1]}}, "param_grid[1].max_depth", "from 1"),
    (SEARCH, {"param_grid": "max_depth"}, "param_grid", "list"),
    (SEARCH, {"param_grid": dict.fromkeys("abc", THOUSAND)}, "param_grid", "random"),
    (SEARCH, {"cv": 1}, "cv", ""),
    (SEARCH, {"cv": 2.5}, "cv", "whole number"),
    (SEARCH, {"strategy": "greedy"}, "strategy", "grid"),
    (PROCESS, {"transformations": {"num_chunks": 0}}, "transformations.num_chunks", ""),
    (PROCESS, {"transformations": {"filer": {"x": 1}}}, "transformations.filer", "filter"),
    (PROCESS, {"transformations": {"filter": {"z": 1}}}, "transformations.filter.z", "x, y"),
    (PROCESS, {"transformations": {"sort": "z"}}, "transformations.sort", "x, y"),
    (
        PROCESS,
        {"transformations": {"new_columns": {"s": "__import__('os')"}}},
        "transformations.new_columns.s",
        "",
    ),
    (PROCESS, {"file_path": "b.csv"}, "file_path", "data root"),
    (PROCESS, {"output_path": "a.csv"}, "output_path", "another"),
    (PROCESS, {"output_path": "b.txt"}, "output_path", ".csv"),
    (PROCESS, {"output_path": "b" * 300 + ".csv"}, "output_path", "shorten"),
    (PROCESS, {"output_path": "../b.csv"}, "output_path", "MATERIA_DATA_ROOTS"),
    (AGGREGATE, {"data_sources": "a.csv"}, "data_sources", "list of texts"),
    (AGGREGATE, {"data_sources": []}, "data_sources", "at least one"),
    (AGGREGATE, {"data_sources": ["a.csv", 7]}, "data_sources[1]", "list of texts"),
    (AGGREGATE, {"data_sources": ["a.csv", "b.csv"]}, "data_sources[1]", "data root"),
    (AGGREGATE, {"group_by": ["z"]}, "group_by", "x, y"),
    (AGGREGATE, {"output_path": "a.csv"}, "output_path", "another"),
    (AGGREGATE, {"aggregations": {"z": ["mean"]}}, "aggregations.z", "x, y"),
    (AGGREGATE, {"aggregations": ["meen"]}, "aggregations", "mean"),
    (PREDICT, {"model_path": None}, "model_path", ""),
    (PREDICT, {"data_batches": "a.csv"}, "data_batches", "list of texts"),
    (PREDICT, {"data_batches": []}, "data_batches", "at least one"),
    (PREDICT, {"output_format": "xml"}, "output_format", "parquet"),
    (NOTIFY, {"message": " "}, "message", "not empty"),
    (NOTIFY, {"message": 5}, "message", "text"),
    (CLEAN_UP, {"keep_last": -1}, "keep_last", "10000"),
    (CLEAN_UP, {"older_than_days": "7"}, "older_than_days", "number"),
    (PREDICT, {"output_dir": "/tmp"}, "output_dir", "MATERIA_DATA_ROOTS"),
]
VALID: dict[str, dict[str, Any]] = {
    TRAIN: {"model_config": {}, "dataset_path": "a.csv"},
    SEARCH: {"param_grid": {"max_depth": [3]}, "dataset_path": "a.csv"},
    PROCESS: {"file_path": "a.csv", "output_path": "b.csv"},
    AGGREGATE: {"data_sources": ["a.csv"]},
    NOTIFY: {"message": "done"},
    CLEAN_UP: {},
    PREDICT: {"model_path": "old.pkl", "data_batches": ["a.csv"]},
}


@pytest.mark.parametrize(("task", "given"), GOOD)
def test_what_fits_is_accepted(task: str, given: dict[str, Any]) -> None:
    tasks.require(task, (), given)


@pytest.mark.parametrize(("task", "given", "path", "hint"), BAD)
def test_what_does_not_fit_is_refused_with_its_place_and_a_fix(
    task: str, given: dict[str, Any], path: str, hint: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        tasks.require(task, (), VALID[task] | given)
    assert refused.value.path == f"kwargs.{path}"
    assert hint in f"{refused.value.message} {refused.value.hint}"


def test_arguments_by_place_are_checked_like_those_by_name() -> None:
    with pytest.raises(DefinitionError) as refused:
        tasks.require(TRAIN, ({"n_estimators": 0}, "a.csv"), {})
    assert refused.value.path == "kwargs.model_config.n_estimators"


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (TRAIN, {"dataset_path": "later.csv"}),
        (PROCESS, {"file_path": "later.csv", "transformations": {"filter": {"z": 1}}}),
        (AGGREGATE, {"data_sources": ["later.csv"]}),
    ],
)
def test_a_schedule_may_name_files_that_come_later(task: str, given: dict[str, Any]) -> None:
    tasks.require(task, (), VALID[task] | given, look=False)
    with pytest.raises(DefinitionError):
        tasks.require(task, (), VALID[task] | given)


def test_a_worker_says_the_same_of_what_a_plain_client_sent() -> None:
    for task, given, path, _ in BAD:
        with pytest.raises(DefinitionError) as refused:
            tasks.require(task, (), VALID[task] | given)
        try:
            tasks.check(task, (), VALID[task] | given)
        except DefinitionError as error:
            assert (error.message, error.path) == (refused.value.message, path)
        except (AccessError, DataError) as error:
            assert error.message == refused.value.message


# Every argument that is a path, or a list of them.
PATHS = [
    (TRAIN, "dataset_path"),
    (SEARCH, "dataset_path"),
    (PROCESS, "file_path"),
    (PROCESS, "output_path"),
    (AGGREGATE, "data_sources"),
    (AGGREGATE, "output_path"),
    (PREDICT, "model_path"),
    (PREDICT, "data_batches"),
    (PREDICT, "output_dir"),
]
OUTSIDE = [
    "../outside.csv",
    "new/../../outside.csv",
    "/etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "link.csv",
    "linked/outside.csv",
    "device.csv",
]


def _with_path(task: str, argument: str, name: str) -> dict[str, Any]:
    is_list = argument in ("data_sources", "data_batches")
    return VALID[task] | {argument: [name] if is_list else name}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(("task", "argument"), PATHS)
def test_a_path_that_leads_outside_is_refused_by_api_and_worker(
    root: Path, task: str, argument: str, name: str
) -> None:
    (root / "link.csv").symlink_to(root.parent / "outside.csv")
    (root / "linked").symlink_to(root.parent)
    (root / "device.csv").symlink_to("/dev/zero")
    given = _with_path(task, argument, name)
    with pytest.raises(DefinitionError, match="outside the folders") as refused:
        tasks.require(task, (), given)
    assert str(refused.value.path).startswith(f"kwargs.{argument}")
    with pytest.raises(AccessError, match="outside the folders"):
        tasks.check(task, (), given)


@pytest.mark.parametrize(("task", "argument"), PATHS)
def test_a_path_with_a_nul_is_refused(task: str, argument: str) -> None:
    with pytest.raises(DefinitionError, match="not the path of a file"):
        tasks.require(task, (), _with_path(task, argument, "a\0.csv"))


@pytest.mark.parametrize(
    ("task", "argument"),
    [(TRAIN, "dataset_path"), (PROCESS, "file_path"), (AGGREGATE, "data_sources")],
)
def test_a_pipe_inside_is_refused_and_not_waited_for(root: Path, task: str, argument: str) -> None:
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DefinitionError):
        tasks.require(task, (), _with_path(task, argument, "pipe.csv"))


def test_no_argument_that_is_a_path_was_forgotten() -> None:
    words = ("path", "dir", "file", "sources", "batches")
    found = {
        (task, name)
        for task, signature in tasks.signatures().items()
        for name in signature.parameters
        if name.rpartition("_")[2] in words
    }
    assert found - set(PATHS) == set()


def test_every_kind_of_table_may_be_written() -> None:
    assert arguments.TABLES == SUFFIXES


def test_checking_loads_nothing_that_learns(root: Path) -> None:
    code = (
        "import sys\nfrom materia.services import tasks\n"
        f"for task, given in {GOOD!r}: tasks.require(task, (), given)\n"
        "print([m for m in ('sklearn', 'skops', 'scipy', 'torch', 'ray', 'ase', 'lightgbm')"
        " if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
