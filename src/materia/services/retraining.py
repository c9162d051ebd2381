"""Jobs that train a model again and put it to use if it is better.

What is in use changes together with the final write of the job: a job that runs twice promotes
once, and one that dies before its end changes nothing.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from materia.errors import DataError, MateriaError, NotFoundError, TransientError
from materia.services import files, learning, models, retrainings, running, submission
from materia.services.partial import Partial
from materia.services.running import Outcome, Superseded
from materia.services.work import Work
from materia.store import models as model_rows
from materia.store import retrainings as rows
from materia.store.jobs import Row

BLOCK = 2**20
# Grows when the same data and configuration would give another model.
FINGERPRINT = 1


def retrain_models() -> Outcome:
    """Submit a job for each model that is retrained daily."""
    job = running.current()
    jobs, left_out = retrainings.daily(job.id if job is not None else "none")

    def submit(work: Work) -> None:
        submission.add(work, jobs)

    scheduled = [{"model": new.kwargs["name"], "task_id": new.id} for new in jobs]
    for entry in left_out:
        running.note(f"{entry['model']} is left out: {entry['reason']}", "WARNING")
    return Outcome({"status": "scheduled", "models": scheduled, "skipped": left_out}, submit)


@dataclass(frozen=True, slots=True)
class _Data:
    """What a training reads: its files, and the hash of their content."""

    files: tuple[Path, ...]
    sha256: str
    marks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, path: Path) -> _Data:
        from materia.ml.reading import dataset_files

        found = dataset_files(path)
        marks = _marks(found)
        digest = hashlib.sha256()
        for n, file in enumerate(found):
            running.progress(0, None, f"looking at file {n + 1} of {len(found)}")
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
        return cls(tuple(found), digest.hexdigest(), marks)

    def require_unchanged(self) -> None:
        """Raise a TransientError when somebody wrote the files meanwhile."""
        if _marks(self.files) != self.marks:
            raise TransientError("the dataset was changed while it was read")


def _marks(found: Any) -> tuple[tuple[int, int], ...]:
    stats = [file.stat() for file in found]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)


def retrain_model(name: str) -> Outcome:
    """Train one model of the table again, and put it to use if it is better than the one in use.

    Raises:
        NotFoundError: There is no such model in the table.
        DefinitionError, AccessError, DataError: It cannot be trained.
    """
    row = retrainings.get(name)
    path = learning.dataset(row["dataset_path"])
    data = _Data.of(path)
    told = [FINGERPRINT, data.sha256, retrainings.config_of(row)]
    fingerprint = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
    champion, lost = _champion(row)
    if champion is not None and fingerprint == row["fingerprint"]:
        return _unchanged(row, data)
    return _trained(row, path, data, fingerprint, champion, lost)


def _champion(row: Row) -> tuple[Row | None, str]:
    """Return the model in use, or why there is none to compare with."""
    if row["champion_id"] is None:
        return None, "it is the first one"
    try:
        _, found = models.find(None, row["champion_id"])
    except MateriaError as error:
        return None, f"the one in use is lost: {error.message}"
    return found, ""


def _unchanged(row: Row, data: _Data) -> Outcome:
    reason = "data and configuration are those of the last training"
    run = _run(row, "unchanged", reason, data_sha256=data.sha256)

    def note(work: Work) -> None:
        rows.add_run(work.database, work.connection, run)

    return Outcome(_result(run), note)


def _trained(
    row: Row, path: Path, data: _Data, fingerprint: str, champion: Row | None, lost: str
) -> Outcome:
    """Return what a training leads to.

    Args:
        champion: The model in use, None where there is none to compare with.
        lost: Why there is none.
    """
    from materia.ml import retraining

    known = None if row["hold_out"] is None else retraining.HoldOut.from_data(row["hold_out"])
    config = retrainings.config_of(row)
    contest = retraining.plan_contest(row["name"], config, path, known)
    data.require_unchanged()
    rule = contest.hold_out.to_data()
    partial = Partial.of(_job_id(), data.sha256, config, rule)
    trained, n_resumed = _challenger(contest, partial)
    former, lost = (None, lost) if champion is None else _former_score(champion, contest)
    score, n_held_out = float(trained.result["ensemble_score"]), len(contest.plan.held_out)
    is_better = former is None or score > former
    told = f"{trained.result['metric']} {score:.4g} on {n_held_out} held-out rows"
    run = _run(
        row,
        "promoted" if is_better else "kept",
        f"{told}; {lost}" if former is None else f"{told}, {former:.4g} with the one in use",
        metric=trained.result["metric"],
        champion_score=former,
        challenger_score=score,
        n_rows=int(trained.result["total_samples"]),
        n_held_out=n_held_out,
        data_sha256=data.sha256,
    )
    model = None
    if is_better:
        trained = replace(trained, card={**trained.card, "hold_out": rule})
        model = learning.store_model(trained, row["name"], path, _job_id())
        run["challenger_id"] = model["id"]
    partial.forget()
    details = {name: trained.result[name] for name in ("results", "remarks")}
    result = {**_result(run), **details, "items_resumed": n_resumed}
    if model is not None:
        result["model_path"] = model["path"]
    return Outcome(result, lambda work: _settle(work, row, run, fingerprint, model, rule))


def _challenger(contest: Any, partial: Partial) -> tuple[Any, int]:
    """Return the new model, and how many of its partitions an earlier attempt trained."""
    from materia.ml import training

    outcomes, failures, n_resumed = learning._map(
        training.train_partition,
        training.items(contest.plan),
        contest.plan,
        partial,
        pack=learning._pack_partition,
        unpack=learning._unpack_partition,
        message="partitions trained",
    )
    return training.assemble(contest.plan, outcomes, failures), n_resumed


def _former_score(champion: Row, contest: Any) -> tuple[float | None, str]:
    """Return the score of the model in use, or why it cannot be compared."""
    from materia.ml import model_file, retraining

    try:
        model = model_file.read_model(files.readable(champion["path"]), champion["sha256"])
        return retraining.judge(model, contest), ""
    except (DataError, NotFoundError) as error:
        return None, f"the one in use cannot be compared: {error.message}"


def _settle(
    work: Work, row: Row, run: Row, fingerprint: str, model: Row | None, rule: dict[str, Any]
) -> None:
    """Write what a training led to, together with the final state of its job."""
    values: Row = {"fingerprint": fingerprint}
    if model is not None:
        values |= {"champion_id": model["id"], "hold_out": rule}
    if not rows.finish(work.connection, row, values):
        raise Superseded(f"'{row['name']}' was changed meanwhile; this training is void")
    rows.add_run(work.database, work.connection, run)
    if model is not None:
        model_rows.add(work.database, work.connection, model)
        message = f"model '{row['name']}' is replaced: {run['reason']}"
        retrainings.notify(work, row, run["job_id"], message)


def _job_id() -> str:
    job = running.current()
    return job.id if job is not None else "none"


def _run(row: Row, outcome: str, reason: str, **found: Any) -> Row:
    empty = ("metric", "champion_score", "challenger_id", "challenger_score", "n_rows")
    return {
        **dict.fromkeys((*empty, "n_held_out", "data_sha256")),
        "job_id": _job_id(),
        "name": row["name"],
        "outcome": outcome,
        "reason": reason,
        "champion_id": row["champion_id"],
        "finished_at": time.time(),
        **found,
    }


def _result(run: Row) -> dict[str, Any]:
    """Return what the caller is told of a training."""
    is_promoted = run["outcome"] == "promoted"
    return {
        "status": "success",
        "model": run["name"],
        "outcome": run["outcome"],
        "reason": run["reason"],
        "metric": run["metric"],
        "score": run["challenger_score"],
        "former_score": run["champion_score"],
        "former_model_id": run["champion_id"],
        "model_id": run["challenger_id"] if is_promoted else run["champion_id"],
        "total_samples": run["n_rows"],
        "n_held_out": run["n_held_out"],
    }
