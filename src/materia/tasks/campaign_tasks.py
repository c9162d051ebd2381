"""The steps of a campaign."""

from __future__ import annotations

from materia.services import campaign_steps, retention
from materia.services import export_results as exports
from materia.services.running import Outcome
from materia.tasks.base import durable_task


@durable_task("tasks.campaign_tasks.train_surrogate")
def train_surrogate(campaign_id: str, iteration: int) -> Outcome:
    """Fit the surrogate to what was observed so far."""
    return campaign_steps.train_surrogate(campaign_id, iteration)


@durable_task("tasks.campaign_tasks.run_cmaes_optimization")
def run_cmaes_optimization(campaign_id: str, iteration: int) -> Outcome:
    """Propose the next candidates."""
    return campaign_steps.run_cmaes_optimization(campaign_id, iteration)


@durable_task("tasks.campaign_tasks.evaluate_candidates")
def evaluate_candidates(campaign_id: str, candidate_ids: list[str]) -> Outcome:
    """Evaluate candidates."""
    return campaign_steps.evaluate_candidates(campaign_id, candidate_ids)


@durable_task("tasks.campaign_tasks.compute_pareto_front")
def compute_pareto_front(campaign_id: str, iteration: int) -> Outcome:
    """Compute front and hypervolume, and decide what follows."""
    return campaign_steps.compute_pareto_front(campaign_id, iteration)


@durable_task("tasks.campaign_tasks.export_results")
def export_results(campaign_id: str, format: str = "csv") -> Outcome:  # noqa: A002 - its public name
    """Write the candidates of a campaign as a file."""
    return exports.export_results(campaign_id, format)


@durable_task("tasks.campaign_tasks.cleanup_old_checkpoints")
def cleanup_old_checkpoints(keep_last: int = 3, older_than_days: float = 7) -> Outcome:
    """Delete surrogate checkpoints that no step needs any more."""
    return retention.cleanup_old_checkpoints(keep_last, older_than_days)
