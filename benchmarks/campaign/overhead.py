"""What the platform adds to an iteration of a campaign beyond engine and evaluator.

    python benchmarks/campaign/overhead.py [--smoke] [--rounds N]

The same campaign (Branin–Currin, batches of 4, an evaluator that takes no time) runs over real
workers and, right before it, in this process through the library, which is engine and evaluator
alone. The difference of their durations, divided by the iterations, is the platform's share.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
import stand
from stand import PostgresServer, RedisServer

BATCH = 4
CONCURRENCY = 2


def definition(budget: int, seed: int) -> dict[str, Any]:
    """Return the campaign that is measured."""
    return {
        "name": "overhead",
        "parameters": [
            {"name": name, "type": "continuous", "bounds": [0, 1]} for name in ("x1", "x2")
        ],
        "objectives": [
            {"name": "branin", "reference_point": 18},
            {"name": "currin", "reference_point": 6},
        ],
        "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
        "optimizer": {
            "budget": budget,
            "batch_size": BATCH,
            "seed": seed,
            "active_learning": {"initial_samples": BATCH},
        },
    }


def library_s(source: dict[str, Any]) -> float:
    """Return how long engine and evaluator take, with every step that a worker does."""
    from materia import Campaign, evaluators
    from materia.mdl import load

    campaign = Campaign.from_dict(source)
    evaluator = evaluators.build(load(source), data_roots=[])
    started = time.perf_counter()
    while size := campaign.next_batch_size():
        for candidate in campaign.ask(size):
            campaign.tell({candidate.id: evaluator.evaluate(candidate.params, seed=0).outcomes})
        campaign.pareto_front()
        campaign.hypervolume()
        campaign.best()
        campaign.convergence()
    return time.perf_counter() - started


def platform_s(source: dict[str, Any]) -> float:
    """Return how long the campaign takes over the workers, by the database's clock."""
    from materia.services import campaigns

    campaign_id = campaigns.run(source)["campaign_id"]
    done = {"completed", "failed"}
    stand.wait_until(lambda: campaigns.get(campaign_id)["state"] in done, "it ends", 600)
    row = campaigns.get(campaign_id)
    assert row["state"] == "completed", row["error"]
    return float(row["finished_at"] - row["started_at"])


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--smoke", action="store_true", help="one short round, nothing recorded")
    chosen = parser.parse_args()
    rounds, budget = (1, 12) if chosen.smoke else (chosen.rounds, chosen.budget)
    n_iterations = budget // BATCH
    results: dict[str, list[dict[str, float]]] = {"sqlite": [], "postgresql": []}
    with stand.servers() as (folder, redis, postgres), Progress() as progress:
        bar = progress.add_task("campaigns", total=rounds * len(results))
        for kind, series in results.items():
            measure(kind, series, folder / kind, redis, postgres, rounds, budget)
            progress.advance(bar, rounds)
    summary = {
        kind: {
            "platform_ms_per_iteration": statistics.median(
                1e3 * (r["platform_s"] - r["library_s"]) / n_iterations for r in series
            ),
            "engine_ms_per_iteration": statistics.median(
                1e3 * r["library_s"] / n_iterations for r in series
            ),
        }
        for kind, series in results.items()
    }
    for kind, line in summary.items():
        print(
            f"{kind:11} {line['platform_ms_per_iteration']:6.0f} ms of the platform and "
            f"{line['engine_ms_per_iteration']:5.0f} ms of the engine an iteration of {BATCH}"
        )
    if not chosen.smoke:
        data = {"summary": summary, "rounds": results, "batch": BATCH, "budget": budget}
        print(record.write("campaign-overhead", data))


def measure(
    kind: str,
    series: list[dict[str, float]],
    folder: Path,
    redis: RedisServer,
    postgres: PostgresServer,
    rounds: int,
    budget: int,
) -> None:
    """Run the rounds of one database with a worker and a scheduler of its own."""
    from materia import settings
    from materia.broker.app import app

    folder.mkdir()
    url = postgres.create_database() if kind == "postgresql" else None
    variables = stand.environment(folder, redis, url)
    os.environ.update(variables)
    settings.current.cache_clear()
    app.conf.update(broker_url=redis.url(0), result_backend=redis.url(1))
    with (
        stand.worker("materia.tasks", folder, variables, CONCURRENCY),
        stand.scheduler(folder, variables),
    ):
        # The first campaign loads the numerics into the workers and is not counted.
        library_s(definition(4 * BATCH, seed=99))
        platform_s(definition(4 * BATCH, seed=99))
        for number in range(rounds):
            source = definition(budget, seed=number)
            series.append({"library_s": library_s(source), "platform_s": platform_s(source)})


if __name__ == "__main__":
    main()
