"""A campaign in this process, without any server: resumable, and the same candidates as on workers.

The run folder holds `campaign.json`, replaced as a whole after every answer (of cheap
evaluators: after every iteration), so that a run that was
killed at any moment goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from materia import report
from materia.engine.campaign import EXHAUSTED, Campaign
from materia.errors import ConflictError, DataError, StateError
from materia.evaluators import Evaluator, earlier_of, pool_of, seed_for
from materia.mdl import Definition
from materia.report.files import unwritable, write_whole
from materia.services import earlier
from materia.services.evaluation_pool import (
    Answer,
    EvaluationPool,
    Recipe,
    Request,
    evaluate_here,
)

FORMAT = 1
STATE_FILE = "campaign.json"


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        phase: What is being done now: "choosing" candidates, "evaluating" them, or "finished".
        n_done: Candidates with an answer, failed ones included.
        hypervolume: None until the reference point is fixed.
        best: Outcomes of the best point, or of the compromise with several objectives.
    """

    phase: str
    n_done: int
    n_failed: int
    budget: int
    iteration: int
    hypervolume: float | None
    best: dict[str, float] | None


@dataclass(frozen=True)
class Finished:
    """How a run ended.

    Attributes:
        campaign: The engine's campaign with all answers.
        evaluations: What is known of each candidate beyond its outcomes, by candidate id.
        reason: Why it ended, as a sentence.
    """

    campaign: Campaign
    evaluations: dict[str, dict[str, Any]]
    reason: str


def write_report(finished: Finished, folder: Path) -> dict[str, Path]:
    """Write the report of a run; returns its files by name."""
    campaign = finished.campaign
    points = campaign.pareto_front()
    front = {name for point in points for name in point.get("replicates", [point["id"]])}
    candidates = [
        {
            **candidate,
            "is_pareto": candidate["id"] in front,
            "error": finished.evaluations.get(candidate["id"], {}).get("error"),
            "metadata": finished.evaluations.get(candidate["id"], {}).get("metadata"),
        }
        for candidate in campaign.candidates
    ]
    summary = {
        "name": campaign.definition.name,
        "state": campaign.state,
        "definition": campaign.definition.model_dump(mode="json"),
        "hypervolume": campaign.hypervolume(),
    }
    convergence, parity = campaign.convergence(), campaign.parity()
    learnt = report.Learnt.of(campaign.definition, campaign.importance(), campaign.slice)
    return report.write(folder, summary, candidates, convergence, parity, learnt)


class LocalRun:
    """One campaign in one folder.

    Args:
        recipe: The definition, and where its evaluator may read files.
        folder: Where state and results are kept; made if missing.
        workers: Evaluations at a time.
        restart: Set an earlier run in this folder aside instead of going on with it.

    Raises:
        ConflictError: The folder belongs to another definition, or to a run under way.
        DataError: The folder cannot be written.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, *, workers: int = 1, restart: bool = False
    ) -> None:
        self._recipe = recipe
        self._folder = folder
        self._workers = workers
        self._restart = restart
        self._evaluations: dict[str, dict[str, Any]] = {}

    def run(self, show: Callable[[Progress], None] = lambda _: None) -> Finished:
        """Go on until the budget is spent, the campaign has converged or nothing is left to ask.

        Args:
            show: Called after each step.

        Raises:
            MateriaError: As the class says, or the evaluator itself is broken.
        """
        recipe = self._recipe
        places: dict[str, Any] = {"data_roots": recipe.data_roots, "base_dir": recipe.base_dir}
        self._recipe = replace(recipe, definition=earlier.pin(recipe.definition, **places))
        evaluator = self._recipe.build()
        if evaluator.is_manual:
            raise StateError(
                "the results of this campaign are told by people; there is nothing to run",
                "run it on a server (--server), or use Campaign.ask and Campaign.tell",
            )
        with _owned(self._folder):
            campaign = self._opened()
            with EvaluationPool(self._recipe, self._workers) as pool:
                while True:
                    for answer in self._answers(campaign, pool, evaluator):
                        self._enter(campaign, answer)
                        if not evaluator.cheap:
                            self._save(campaign)
                            show(self._progress(campaign, "evaluating"))
                    reason = _end(campaign)
                    if reason is None:
                        show(self._progress(campaign, "choosing"))
                        reason = _choose(campaign)
                    if reason is not None:
                        self._save(campaign)
                        show(self._progress(campaign, "finished"))
                        return Finished(campaign, self._evaluations, reason)
                    self._save(campaign)
                    show(self._progress(campaign, "evaluating"))

    def _answers(
        self, campaign: Campaign, pool: EvaluationPool, evaluator: Evaluator
    ) -> Iterator[Answer]:
        """Yield answers for all open candidates.

        They are told in the order in which they come: the engine reads observations in candidate
        order, so that what it chooses next does not depend on who was faster.
        """
        seed = self._recipe.definition.optimizer.seed
        requests = [
            Request(candidate["id"], candidate["params"], seed_for(seed, candidate["number"]))
            for candidate in campaign.candidates
            if candidate["state"] == "proposed"
        ]
        return evaluate_here(evaluator, requests) if evaluator.cheap else pool.evaluate(requests)

    def _enter(self, campaign: Campaign, answer: Answer) -> None:
        kept: dict[str, Any] = {"duration_s": answer.duration_s}
        if answer.evaluation is not None:
            campaign.tell({answer.id: answer.evaluation.told})
            kept["metadata"] = answer.evaluation.metadata
        else:
            campaign.tell({answer.id: None})
            kept["error"] = str(answer.failure)
        self._evaluations[answer.id] = kept

    def _progress(self, campaign: Campaign, phase: str) -> Progress:
        candidates = campaign.candidates
        best = campaign.best()
        return Progress(
            phase=phase,
            n_done=sum(candidate["state"] != "proposed" for candidate in candidates),
            n_failed=sum(candidate["state"] == "failed" for candidate in candidates),
            budget=self._recipe.definition.optimizer.budget,
            iteration=max((candidate["iteration"] for candidate in candidates), default=0),
            hypervolume=campaign.hypervolume(),
            best=best["outcomes"] if best else None,
        )

    def _opened(self) -> Campaign:
        recipe = self._recipe
        places: dict[str, Any] = {"data_roots": recipe.data_roots, "base_dir": recipe.base_dir}
        known = earlier_of(recipe.definition, **places)
        fresh = Campaign.from_definition(
            recipe.definition,
            pool_of(recipe.definition, **places),
            None if known is None else known.rows,
        )
        path = self._folder / STATE_FILE
        if self._restart and path.exists():
            path.replace(path.with_name("campaign.previous.json"))
        if not path.exists():
            return fresh
        saved = _read(path)
        # As this version would write it: keys that are newer than the run have their defaults.
        before = Definition.model_validate(saved["campaign"]["definition"]).model_dump(mode="json")
        changed = [*_differences(before, fresh.dump()["definition"])]
        if not changed and saved["campaign"].get("pool") != fresh.dump()["pool"]:
            changed = ["the rows of the table"]
        if changed:
            raise ConflictError(
                f"'{self._folder}' holds a run of another definition: "
                f"{', '.join(changed[:5])}{', …' if len(changed) > 5 else ''} changed",
                "--restart sets the old run aside, --output names another folder",
            )
        self._evaluations = saved["evaluations"]
        return Campaign.load(saved["campaign"])

    def _save(self, campaign: Campaign) -> None:
        state = {
            "format": FORMAT,
            "campaign": campaign.dump(),
            "evaluations": self._evaluations,
        }
        write_whole(self._folder / STATE_FILE, orjson.dumps(state, option=orjson.OPT_INDENT_2))


def _choose(campaign: Campaign) -> str | None:
    """Ask the next candidates; returns why there are none."""
    try:
        campaign.ask(campaign.next_batch_size())
    except StateError:
        # The budget is not spent (see _end), so the rows of a table or a finite space are.
        return EXHAUSTED
    return None


def _end(campaign: Campaign) -> str | None:
    """Return why nothing more is to be asked, or None."""
    if campaign.definition.optimizer.budget > len(campaign.candidates) and campaign.is_exhausted:
        return EXHAUSTED
    if campaign.next_batch_size() == 0:
        return f"the budget of {campaign.definition.optimizer.budget} evaluations is spent"
    convergence = campaign.convergence()
    return f"converged: {convergence['reason']}" if convergence["converged"] else None


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = orjson.loads(path.read_bytes())
        if saved["format"] == FORMAT:
            return dict(saved)
        reason = f"it has format {saved['format']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error)
    raise DataError(
        f"'{path}' is no state of a run that this version can read: {reason}",
        "--restart sets it aside and begins anew",
    )


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which two definitions differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(old.get(key), new.get(key), inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{path}[{i}]")
    elif old != new:
        yield path


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Make the folder and keep other runs out of it."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"another run is under way in '{folder}'",
                "wait for it, or name another folder with --output",
            ) from None
        yield
