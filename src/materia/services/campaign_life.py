"""The life of a campaign as rows: which step follows, and how a campaign ends.

Every function works inside a unit of work of the caller. One that moves a campaign on holds the
campaign's row first, so that two jobs that finish at once see each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from materia.events.models import EventType
from materia.mdl.breaches import broken
from materia.services import outcomes, submission, workers
from materia.services.evaluation_details import bounded
from materia.services.running import Superseded
from materia.services.submission import NewJob
from materia.services.work import Work
from materia.store import campaigns as campaign_rows
from materia.store import jobs as job_rows
from materia.store.campaigns import FINAL_CAMPAIGN, CampaignState, CandidateState
from materia.store.jobs import WAITING, JobState, Row

# The job row that stands for a whole campaign; no worker holds it.
ROOT = "campaign"
ROOT_TASK = "tasks.campaign_tasks.campaign"

TRAIN = "train_surrogate"
PROPOSE = "run_cmaes_optimization"
EVALUATE = "evaluate_candidates"
FRONT = "compute_pareto_front"

# A paused campaign starts none of these; the front of what is measured is still computed.
HELD_STEPS = (TRAIN, PROPOSE, EVALUATE)
# A step that runs when its campaign is paused still finishes.
GOES_ON = (CampaignState.RUNNING, CampaignState.PAUSED)


def add_step(
    work: Work,
    campaign_id: str,
    iteration: int,
    step: str,
    kwargs: dict[str, Any],
    *,
    part: str = "",
    timeout_s: float | None = None,
) -> None:
    """Add the job of a step; unique per campaign, iteration, step and part.

    Training goes to a GPU worker where one is alive.
    """
    has_gpu = step == TRAIN and bool(workers.gpu_workers(work.database, work.connection))
    job = NewJob(
        task=f"tasks.campaign_tasks.{step}",
        queue=workers.GPU_QUEUE if has_gpu else None,
        kwargs={"campaign_id": campaign_id, **kwargs},
        campaign_id=campaign_id,
        iteration=iteration,
        step=step,
        timeout_s=timeout_s,
        idempotency_key=f"{campaign_id}/{iteration}/{step}/{part}",
    )
    submission.add(work, [job])


def add_root(work: Work, campaign_id: str, task_id: str, requested_by: str | None) -> None:
    """Add the job, held by no worker, that ends when the campaign does."""
    root = NewJob(
        task=ROOT_TASK,
        id=task_id,
        kwargs={"campaign_id": campaign_id},
        campaign_id=campaign_id,
        step=ROOT,
        state=JobState.RUNNING,
        requested_by=requested_by,
        reply=True,
    )
    submission.add(work, [root])


def change_state(work: Work, campaign: Row, state: CampaignState, values: Row) -> None:
    """Give a locked campaign a new state and report it."""
    campaign_rows.change(work.connection, campaign["id"], {"state": state, **values})
    data = {
        "state": state,
        "iteration": values.get("iteration", campaign["iteration"]),
        "evaluations_completed": campaign["evaluations_completed"],
        "evaluations_failed": campaign["evaluations_failed"],
        "budget": values.get("budget", campaign["budget"]),
        "hypervolume": values.get("hypervolume", campaign["hypervolume"]),
        "best": values.get("best", campaign["best"]),
        "error": values.get("error"),
    }
    work.campaign_event(campaign["id"], EventType.CAMPAIGN_STATE_CHANGED, data)


def hold_if_paused(work: Work, campaign: Row) -> None:
    """Hold the steps that wait, where a locked campaign is paused."""
    if campaign["state"] == CampaignState.PAUSED:
        held = job_rows.hold(work.connection, campaign["id"], HELD_STEPS)
        work.to_send = [row for row in work.to_send if row["id"] not in held]


def start_iteration(work: Work, campaign_id: str, iteration: int, *, train: bool) -> None:
    """Begin an iteration with its first step."""
    campaign_rows.add_iteration(work.database, work.connection, campaign_id, iteration)
    campaign_rows.change(work.connection, campaign_id, {"iteration": iteration})
    work.campaign_event(campaign_id, EventType.ITERATION_STARTED, {"iteration": iteration})
    add_step(work, campaign_id, iteration, TRAIN if train else PROPOSE, {"iteration": iteration})


def record_evaluation(
    work: Work,
    campaign_id: str,
    candidate: Row,
    evaluation: Row,
    job_id: str | None,
    *,
    outcome_constraints: Sequence[str] = (),
) -> bool:
    """Keep an evaluation and give the candidate its result; False when it has one already.

    Args:
        evaluation: state ('told' or 'failed'), outcomes, details, error, seed, duration_s.
        outcome_constraints: Of the campaign; the event names those that are broken.
    """
    campaign_rows.add_evaluation(
        work.connection,
        {
            "campaign_id": campaign_id,
            "candidate_id": candidate["id"],
            "job_id": job_id,
            "finished_at": work.database.now(),
            **evaluation,
        },
    )
    counted = campaign_rows.settle_candidate(
        work.connection,
        campaign_id,
        candidate["id"],
        evaluation["state"],
        evaluation["outcomes"],
    )
    if counted:
        data = {
            "candidate_id": candidate["id"],
            "iteration": candidate["iteration"],
            "state": evaluation["state"],
            "params": candidate["params"],
            "outcomes": outcomes.values(evaluation["outcomes"]),
            "breaks": broken(outcome_constraints, evaluation["outcomes"]),
            "metadata": bounded(evaluation["details"]),
            "error": evaluation["error"],
        }
        work.campaign_event(campaign_id, EventType.EVALUATION_COMPLETED, data, job_id)
    return counted


def count_evaluations(work: Work, campaign: Row, completed: int, failed: int) -> None:
    """Add to the counters of a locked campaign, and go on when its iteration is complete."""
    campaign["evaluations_completed"] += completed
    campaign["evaluations_failed"] += failed
    counters = ("evaluations_completed", "evaluations_failed")
    campaign_rows.change(work.connection, campaign["id"], {key: campaign[key] for key in counters})
    if campaign_rows.n_proposed(work.connection, campaign["id"]):
        return
    if campaign["state"] in (*GOES_ON, CampaignState.STOPPED):
        iteration = campaign["iteration"]
        # A stopped campaign gets its last front, but no further step follows from it.
        part = "stopped" if campaign["state"] == CampaignState.STOPPED else ""
        add_step(work, campaign["id"], iteration, FRONT, {"iteration": iteration}, part=part)


def finish(
    work: Work, campaign: Row, state: CampaignState, *, values: Row, result: Row | None = None
) -> None:
    """End a locked campaign and its root job.

    Args:
        values: Further columns of the campaign; ``error`` when it failed.
        result: What waits in the root job for `AsyncResult(task_id).get()`.
    """
    values = {**values, "finished_at": work.database.now()}
    change_state(work, campaign, state, values)
    columns: Row = {"state": JobState.SUCCEEDED, "result": result}
    if state == CampaignState.FAILED:
        columns = {"state": JobState.FAILED, "error": values["error"]}
    root = job_rows.settle(work.database, work.connection, campaign["task_id"], columns)
    if root is not None:
        work.job_event(root)
        work.to_answer.append(root)


def summary(campaign: Row, state: CampaignState, front: Sequence[Row]) -> Row:
    """Return the summary of a campaign that its root job ends with."""
    keys = (
        "iteration",
        "budget",
        "evaluations_completed",
        "evaluations_failed",
        "hypervolume",
        "best",
    )
    return {
        "status": "success",
        "campaign_id": campaign["id"],
        "name": campaign["name"],
        "state": state,
        **{key: campaign[key] for key in keys},
        "reason": why_completed(campaign) if state == CampaignState.COMPLETED else None,
        "pareto_size": len(front),
        "pareto_front": list(front),
    }


def why_completed(campaign: Row) -> str:
    """Return why a campaign that was not stopped and has not converged has nothing left to do."""
    if campaign["evaluations_completed"] + campaign["evaluations_failed"] >= campaign["budget"]:
        return f"the budget of {campaign['budget']} evaluations is spent"
    return "every possible candidate has been asked"


def stop(work: Work, campaign_id: str, reason: str) -> Row | None:
    """Stop a campaign: nothing new starts, evaluations that run already are still kept.

    Returns:
        The campaign before the change; None when there is none.
    """
    campaign = campaign_rows.lock(work.connection, campaign_id)
    if campaign is None or campaign["state"] in FINAL_CAMPAIGN:
        return campaign
    result = summary(campaign, CampaignState.STOPPED, _front(work, campaign))
    finish(work, campaign, CampaignState.STOPPED, values={}, result=result)
    for job in job_rows.waiting_of(work.connection, campaign_id):
        cancel_job(work, job, reason)
    stopped = {**campaign, "state": CampaignState.STOPPED}
    if not job_rows.has_open(work.connection, campaign_id, EVALUATE):
        # Those that people evaluate: no job holds them whose end would say so.
        campaign_rows.cancel_proposed(work.connection, campaign_id)
    if campaign_rows.n_candidates(work.connection, campaign_id):
        count_evaluations(work, stopped, 0, 0)
    return campaign


def _front(work: Work, campaign: Row) -> list[Row]:
    """Return the front as it was last computed; of replicates, the means."""
    marked = campaign_rows.candidates_of(work.connection, campaign["id"], pareto_only=True)
    if campaign["definition"]["optimizer"].get("replicates", 1) > 1:
        from materia.engine.campaign import Campaign
        from materia.services import campaign_steps

        everyone = campaign_rows.candidates_of(work.connection, campaign["id"])
        state = campaign_steps.engine_state(campaign, everyone)
        names = {candidate["id"] for candidate in marked}
        return [point for point in Campaign.load(state).pareto_front() if point["id"] in names]
    return [
        {"id": c["id"], "params": c["params"], "outcomes": outcomes.values(c["outcomes"])}
        for c in marked
    ]


def cancelled(reason: str) -> Row:
    """Return the columns of a cancelled job."""
    return {
        "state": JobState.CANCELLED,
        "error": {"code": "cancelled", "message": reason, "hint": None},
    }


def cancel_job(work: Work, row: Row, reason: str) -> None:
    """Cancel a waiting job and tell its campaign, or ask the worker of a running one."""
    hold_campaign(work, row)
    values = cancelled(reason)
    done = job_rows.settle(work.database, work.connection, row["id"], values, states=WAITING)
    if done is None:
        if job_rows.request_cancel(work.database, work.connection, row["id"]):
            return
        # It has ended, or has gone back to waiting between the two.
        done = job_rows.settle(work.database, work.connection, row["id"], values, states=WAITING)
        if done is None:
            return
    work.job_event(done)
    work.to_answer.append(done)
    effects = failure_effects(done)
    if effects is not None:
        effects(work)


def hold_campaign(work: Work, row: Row) -> None:
    """Hold the campaign of a step before the row of its job.

    Whoever stops a campaign holds it before its jobs; in the other order the two would wait for
    each other for ever.
    """
    if row["step"] and row["step"] != ROOT:
        campaign_rows.lock(work.connection, row["campaign_id"])


def failure_effects(row: Row) -> Callable[[Work], None] | None:
    """Return what a job that did not succeed does to the campaign whose step it is."""
    if not row["step"] or row["step"] == ROOT:
        return None

    def effects(work: Work) -> None:
        current = job_rows.get(work.connection, row["id"]) or row
        _step_failed(work, current)

    return effects


def _step_failed(work: Work, row: Row) -> None:
    campaign = campaign_rows.lock(work.connection, row["campaign_id"])
    if campaign is None:
        return
    error = row["error"] or {"code": "failed", "message": "the step failed", "hint": None}
    if row["step"] == EVALUATE:
        _candidates_failed(work, campaign, row, error)
    elif campaign["state"] not in FINAL_CAMPAIGN:
        message = f"step {row['step']} of iteration {row['iteration']} failed: {error['message']}"
        values = {"error": {**error, "message": message, "job_id": row["id"]}}
        finish(work, campaign, CampaignState.FAILED, values=values)


def _candidates_failed(work: Work, campaign: Row, row: Row, error: Row) -> None:
    ids = row["kwargs"]["candidate_ids"]
    chosen = campaign_rows.candidates_of(work.connection, campaign["id"], ids=ids)
    if campaign["state"] in FINAL_CAMPAIGN and error["code"] == "cancelled":
        # Never evaluated, because the campaign was stopped: that is no failure of the candidate.
        for candidate in chosen:
            campaign_rows.settle_candidate(
                work.connection, campaign["id"], candidate["id"], CandidateState.CANCELLED, None
            )
        count_evaluations(work, campaign, 0, 0)
        return
    evaluation = {
        "state": CandidateState.FAILED,
        "outcomes": None,
        "details": None,
        "error": {key: error.get(key) for key in ("code", "message", "hint")},
        "seed": None,
        "duration_s": None,
    }
    failed = sum(
        record_evaluation(work, campaign["id"], candidate, evaluation, row["id"])
        for candidate in chosen
    )
    count_evaluations(work, campaign, 0, failed)


def require_running(campaign: Row | None, iteration: int) -> Row:
    """Return a campaign that a step of an iteration may move on; `Superseded` otherwise."""
    if campaign is None:
        raise Superseded("the campaign was deleted")
    if campaign["state"] not in GOES_ON:
        raise Superseded(f"the campaign is {campaign['state']}")
    if campaign["iteration"] != iteration:
        raise Superseded(f"the campaign is at iteration {campaign['iteration']}, not {iteration}")
    return campaign
