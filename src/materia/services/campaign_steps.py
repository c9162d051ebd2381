"""The steps of an iteration: read the rows, compute outside of any transaction, return effects.

The engine is rebuilt from the rows each time, so that any worker can do any step and a repeated
step gives the same candidates. Numerics are imported by the step that needs them: a process that
only sends messages stays small.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from materia import log, settings
from materia.errors import EvaluationError, StateError, SurrogateError, TransientError
from materia.events.models import EventType
from materia.mdl import Definition
from materia.mdl.breaches import expressions_of
from materia.services import campaign_life as life
from materia.services import earlier, running
from materia.services.running import Outcome, Superseded
from materia.services.work import Work
from materia.store import campaigns as campaign_rows
from materia.store.campaigns import CampaignState, CandidateState
from materia.store.database import database
from materia.store.jobs import Row

if TYPE_CHECKING:
    from materia.engine.campaign import Campaign
    from materia.evaluators import Evaluation, Evaluator

# Cheap evaluators take that many candidates in one job.
CHUNK = 25

logger = log.logger(__name__)


def load_engine(campaign_id: str) -> tuple[Row, Campaign]:
    """Rebuild the engine's campaign from the rows."""
    from materia.engine.campaign import Campaign

    with database().read() as connection:
        row = campaign_rows.get(connection, campaign_id)
        rows = campaign_rows.candidates_of(connection, campaign_id)
    if row is None:
        raise StateError(f"campaign {campaign_id!r} was deleted")
    return row, Campaign.load(engine_state(row, rows))


def engine_state(campaign: Row, candidates: list[Row]) -> dict[str, Any]:
    """Return the rows of a campaign in the form of `Campaign.dump`."""
    keys = ("id", "number", "iteration", "params", "predicted", "why", "state", "outcomes")
    return {
        "format": 1,
        "definition": campaign["definition"],
        "pool": campaign["pool"],
        "candidates": [{key: candidate[key] for key in keys} for candidate in candidates],
        "added": earlier.rows_of(campaign["definition"]),
    }


def train_surrogate(campaign_id: str, iteration: int) -> Outcome:
    """Fit the surrogate to the observations so far and keep it as a checkpoint."""
    from materia.services import campaign_fits, checkpoints

    row, engine = load_engine(campaign_id)
    life.require_running(row, iteration)
    quality: dict[str, Any] = {}
    checkpoint: Any = None
    fallback: str | None = None
    computed: dict[str, Any] = {}
    try:
        if engine.definition.optimizer.surrogate == "none":
            fit = None
        else:
            fit, computed = campaign_fits.fit(engine, row["backend"])
    except SurrogateError as error:
        # Announced, and the proposal falls back to the quasi-random design.
        logger.warning("surrogate_not_fitted", campaign_id=campaign_id, reason=error.message)
        fallback = error.message
    else:
        if fit is not None:
            quality = fit.quality
            checkpoint = checkpoints.write(campaign_id, iteration, fit.arrays, fit.meta)

    def effects(work: Work) -> None:
        campaign = life.require_running(campaign_rows.lock(work.connection, campaign_id), iteration)
        values = {"fit": quality, "checkpoint": checkpoint}
        campaign_rows.change_iteration(work.connection, campaign_id, iteration, values)
        data = {"iteration": iteration, "quality": quality, "fallback": fallback, **computed}
        work.campaign_event(campaign_id, EventType.SURROGATE_TRAINED, data)
        life.add_step(work, campaign_id, iteration, life.PROPOSE, {"iteration": iteration})
        life.hold_if_paused(work, campaign)

    result = {
        "status": "success",
        "campaign_id": campaign_id,
        "iteration": iteration,
        "quality": quality,
        "checkpoint": checkpoint,
        "fallback": fallback,
        **computed,
    }
    return Outcome(result, effects)


def run_cmaes_optimization(campaign_id: str, iteration: int) -> Outcome:
    """Propose the candidates of an iteration and queue their evaluation."""
    from materia.services import checkpoints

    row, engine = load_engine(campaign_id)
    life.require_running(row, iteration)
    with database().read() as connection:
        known = {
            line["iteration"]: line for line in campaign_rows.iterations_of(connection, campaign_id)
        }
    checkpoint = known.get(iteration, {}).get("checkpoint")
    arrays_meta = checkpoints.read(checkpoint) if checkpoint else None
    if arrays_meta is not None:
        engine.use_surrogate(*arrays_meta)
    try:
        batch = engine.ask()
    except StateError:
        return _nothing_left(campaign_id, iteration, engine)
    definition = engine.definition
    evaluator = _evaluator(_text(row["definition"]))
    columns = [
        {
            "campaign_id": campaign_id,
            "number": candidate.number,
            "id": candidate.id,
            "iteration": iteration,
            "state": CandidateState.PROPOSED,
            "params": candidate.params,
            "predicted": candidate.predicted,
            "why": candidate.why,
        }
        for candidate in batch
    ]
    size = CHUNK if evaluator.cheap else 1
    ids = [candidate.id for candidate in batch]
    # Nobody but people evaluates manual candidates; they tell the results when they have them.
    asked = [] if evaluator.is_manual else ids
    chunks = [asked[i : i + size] for i in range(0, len(asked), size)]
    timeout_s = definition.evaluator.timeout_s if definition.evaluator else None

    def effects(work: Work) -> None:
        campaign = life.require_running(campaign_rows.lock(work.connection, campaign_id), iteration)
        if campaign["budget"] != row["budget"]:
            # The batch was cut to the smaller one; the next attempt proposes all of it.
            raise TransientError("the budget was raised while candidates were proposed")
        if campaign_rows.has_candidates(work.connection, campaign_id, iteration):
            raise Superseded(f"iteration {iteration} has its candidates already")
        campaign_rows.add_candidates(work.connection, columns)
        plain = [
            {key: column[key] for key in ("id", "params", "predicted", "why")} for column in columns
        ]
        data = {"iteration": iteration, "candidates": plain}
        work.campaign_event(campaign_id, EventType.CANDIDATES_PROPOSED, data)
        for chunk in chunks:
            life.add_step(
                work,
                campaign_id,
                iteration,
                life.EVALUATE,
                {"candidate_ids": chunk},
                part=chunk[0],
                timeout_s=timeout_s * len(chunk) if timeout_s is not None else None,
            )
        life.hold_if_paused(work, campaign)

    result = {
        "status": "success",
        "campaign_id": campaign_id,
        "iteration": iteration,
        "candidate_ids": ids,
    }
    return Outcome(result, effects)


def _nothing_left(campaign_id: str, iteration: int, engine: Campaign) -> Outcome:
    """End a campaign whose finite space is exhausted before its budget is spent."""
    front = engine.pareto_front()

    def effects(work: Work) -> None:
        campaign = life.require_running(campaign_rows.lock(work.connection, campaign_id), iteration)
        finished = {"finished_at": work.database.now()}
        campaign_rows.change_iteration(work.connection, campaign_id, iteration, finished)
        summary = life.summary(campaign, CampaignState.COMPLETED, front)
        life.finish(work, campaign, CampaignState.COMPLETED, values={}, result=summary)

    result = {
        "status": "success",
        "campaign_id": campaign_id,
        "iteration": iteration,
        "candidate_ids": [],
    }
    return Outcome(result, effects)


def _text(definition: dict[str, Any]) -> str:
    return orjson.dumps(definition, option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=8)
def _evaluator(definition: str) -> Evaluator:
    """Build an evaluator once a process: some prepare reference data."""
    from materia import evaluators

    return evaluators.build(
        Definition.model_validate_json(definition),
        data_roots=settings.current().allowed_roots,
    )


def evaluate_candidates(campaign_id: str, candidate_ids: list[str]) -> Outcome:
    """Evaluate candidates; a candidate that fails does not take the others with it."""
    with database().read() as connection:
        row = campaign_rows.get(connection, campaign_id)
        chosen = campaign_rows.candidates_of(connection, campaign_id, ids=candidate_ids)
    if row is None:
        raise StateError(f"campaign {campaign_id!r} was deleted")
    missing = set(candidate_ids) - {candidate["id"] for candidate in chosen}
    if missing:
        raise StateError(f"campaign {row['name']!r} has no candidate {sorted(missing)[0]!r}")
    evaluator = _evaluator(_text(row["definition"]))
    seed = int(row["definition"]["optimizer"]["seed"])
    evaluated = list(zip(chosen, _evaluations(evaluator, chosen, seed), strict=True))
    job = running.current()
    job_id = job.id if job else None
    limits = expressions_of(row["definition"])

    def effects(work: Work) -> None:
        campaign = campaign_rows.lock(work.connection, campaign_id)
        if campaign is None:
            return
        completed = failed = 0
        for candidate, evaluation in evaluated:
            counted = life.record_evaluation(
                work, campaign_id, candidate, evaluation, job_id, outcome_constraints=limits
            )
            if counted:
                told = evaluation["state"] == CandidateState.TOLD
                completed, failed = completed + told, failed + (not told)
        if completed or failed:
            life.count_evaluations(work, campaign, completed, failed)

    outcomes = [
        {"candidate_id": candidate["id"], **{k: evaluation[k] for k in ("outcomes", "error")}}
        for candidate, evaluation in evaluated
    ]
    result = {"status": "success", "campaign_id": campaign_id, "outcomes": outcomes}
    return Outcome(result, effects)


def _evaluations(evaluator: Evaluator, chosen: list[Row], campaign_seed: int) -> list[Row]:
    """Evaluate candidates, cheap ones all at once."""
    size = max(1, len(chosen)) if evaluator.cheap else 1
    found: list[Row] = []
    for first in range(0, len(chosen), size):
        running.progress(first, len(chosen), chosen[first]["id"])
        found += _evaluate(evaluator, chosen[first : first + size], campaign_seed)
    return found


def _evaluate(evaluator: Evaluator, chosen: list[Row], campaign_seed: int) -> list[Row]:
    from materia import evaluators

    seeds = [evaluators.seed_for(campaign_seed, candidate["number"]) for candidate in chosen]
    started = time.monotonic()
    found = evaluator.evaluate_many(
        [(candidate["params"], seed) for candidate, seed in zip(chosen, seeds, strict=True)]
    )
    duration_s = (time.monotonic() - started) / len(chosen)
    return [_row(one, seed, duration_s) for one, seed in zip(found, seeds, strict=True)]


def _row(evaluation: Evaluation | EvaluationError, seed: int, duration_s: float) -> Row:
    outcomes = details = error = None
    if isinstance(evaluation, EvaluationError):
        error = {key: getattr(evaluation, key) for key in ("code", "message", "hint")}
    else:
        outcomes, details = evaluation.told, evaluation.metadata
    return {
        "state": CandidateState.FAILED if error else CandidateState.TOLD,
        "outcomes": outcomes,
        "details": details,
        "error": error,
        "seed": seed,
        "duration_s": duration_s,
    }


def compute_pareto_front(campaign_id: str, iteration: int) -> Outcome:
    """Compute front, hypervolume and convergence of an iteration, and decide what follows."""
    row, engine = load_engine(campaign_id)
    front = engine.pareto_front()
    hypervolume = engine.hypervolume()
    best = engine.best()
    convergence = engine.convergence()
    n_next = engine.next_batch_size()
    is_exhausted = engine.is_exhausted
    # Points that were measured earlier may be on the front, but are no candidates of the campaign.
    asked = {candidate["id"] for candidate in engine.candidates}
    pareto_size = sum(point["id"] in asked for point in front)
    on_front = [name for point in front for name in point.get("replicates", [point["id"]])]
    metrics = {"hypervolume": hypervolume, "pareto_size": pareto_size, "best": best}
    changed = hypervolume != row["hypervolume"] or best != row["best"]

    def effects(work: Work) -> None:
        campaign = campaign_rows.lock(work.connection, campaign_id)
        if campaign is None or campaign["iteration"] != iteration:
            raise Superseded("the campaign has gone on without this step")
        goes_on = campaign["state"] in life.GOES_ON
        # Whoever sends the step by hand may be early.
        has_any = campaign_rows.has_candidates(work.connection, campaign_id, iteration)
        if not has_any and campaign["state"] in (CampaignState.CREATED, *life.GOES_ON):
            raise Superseded(f"iteration {iteration} has no candidates yet")
        if goes_on and campaign_rows.n_proposed(work.connection, campaign_id):
            raise Superseded("candidates of the iteration are still being evaluated")
        campaign_rows.mark_front(work.connection, campaign_id, on_front)
        campaign_rows.change(work.connection, campaign_id, metrics)
        campaign.update(metrics)
        n_observations = campaign["evaluations_completed"]
        finished = {"n_observations": n_observations, "finished_at": work.database.now()}
        campaign_rows.change_iteration(
            work.connection, campaign_id, iteration, {**metrics, **finished}
        )
        if changed:
            data = {"iteration": iteration, **metrics, "front": front}
            work.campaign_event(campaign_id, EventType.PARETO_UPDATED, data)
        data = {
            "iteration": iteration,
            "evaluations_completed": campaign["evaluations_completed"],
            "evaluations_failed": campaign["evaluations_failed"],
            "budget": campaign["budget"],
            "duration_s": campaign_rows.iteration_took_s(work.connection, campaign_id, iteration),
            **metrics,
        }
        work.campaign_event(campaign_id, EventType.ITERATION_COMPLETED, data)
        if not goes_on:
            return
        # Raised since the step read it, the budget leaves more.
        is_spent = is_exhausted or (n_next == 0 and campaign["budget"] == row["budget"])
        if convergence["converged"] or is_spent:
            converged = convergence["converged"] and not is_spent
            end = CampaignState.CONVERGED if converged else CampaignState.COMPLETED
            summary = life.summary(campaign, end, front)
            life.finish(work, campaign, end, values={}, result=summary)
        else:
            life.start_iteration(work, campaign_id, iteration + 1, train=True)
            life.hold_if_paused(work, campaign)

    result = {
        "status": "success",
        "campaign_id": campaign_id,
        "iteration": iteration,
        "front": front,
        "hypervolume": hypervolume,
        "converged": convergence["converged"],
    }
    return Outcome(result, effects)
