"""A campaign on three hosts while workers die, links are cut and Redis is emptied.

    python benchmarks/faults/three_networks.py [--smoke] [--trials N] [--seed S] [--lease S]

Three hosts with networks, names and process ids of their own are joined by a bridge to one with
PostgreSQL, Redis, API and scheduler, set up as for production. A campaign of 300 evaluations, each
a simulation of some tenths of a second, is submitted over HTTP and goes on under faults at random
moments of a seed. Afterwards the database is examined without any code of the product, and the same
campaign is computed again in this process to compare candidate by candidate. Needs root. Results of
other seeds at the same commit are kept and counted together.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import hosts
from evidence import Evidence, Witness, value_of
from hosts import HUB, Host
from storm import KINDS, MEANING, Storm, Strike, measure

import record
import stand
from stand import PostgresServer, RedisServer

ALLOY = Path(__file__).parents[2] / "examples" / "alloy.yaml"
NAME = "three-networks"
N_HOSTS, CONCURRENCY = 3, 2
ENDS = {"completed", "converged", "stopped", "failed"}
# The last faults, too, are followed by work.
CALM_BEFORE = 0.95
GIVE_UP_AFTER_S = 1800.0


def definition(budget: int, seed: int) -> dict[str, Any]:
    """Return the campaign: six-component alloys, simulated atom by atom."""
    source: dict[str, Any] = yaml.safe_load(ALLOY.read_text())
    source["optimizer"] = {
        "budget": budget,
        "batch_size": 10,
        "seed": seed,
        "active_learning": {"initial_samples": 20, "convergence_patience": None},
    }
    return source


@dataclass
class Site:
    """Everything that runs, but for the campaign."""

    folder: Path
    url: str
    redis: RedisServer
    hosts: list[Host]
    api_url: str
    api_key: str


@contextmanager
def site(folder: Path, lease_s: float) -> Iterator[Site]:
    """Start servers, API, scheduler and the workers of all hosts."""
    with ExitStack() as ends:
        redis = RedisServer(folder / "redis", HUB)
        redis.start()
        ends.callback(redis.kill)
        postgres = PostgresServer(HUB)
        ends.callback(postgres.remove)
        postgres.start()
        url = postgres.create_database()
        key = secrets.token_urlsafe(32)
        variables = {
            **stand.environment(folder, redis, url),
            "MATERIA_ENVIRONMENT": "production",
            "MATERIA_API_KEY": key,
            "MATERIA_API_HOST": HUB,
            "MATERIA_LEASE_S": str(lease_s),
            "OMP_NUM_THREADS": "1",
        }
        api_url = ends.enter_context(stand.api(folder, variables))
        ends.enter_context(stand.scheduler(folder, variables))
        worker = ["-A", "materia.tasks", "worker", "--loglevel=info"]
        worker.append(f"--concurrency={CONCURRENCY}")
        made = []
        for number in range(1, N_HOSTS + 1):
            made.append(Host(number, folder, worker, variables))
            ends.callback(made[-1].close)
            made[-1].start()
        yield Site(folder, url, redis, made, api_url, key)


@dataclass
class Outcome:
    """What became of one campaign."""

    seed: int
    evidence: Evidence
    duration_s: float
    strikes: list[Strike]
    same_candidates: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "seed": self.seed,
            "duration_s": round(self.duration_s, 1),
            **asdict(self.evidence),
            "same_candidates": self.same_candidates,
            "strikes": [
                {
                    "kind": one.kind,
                    "host": one.host,
                    "next_commit_s": one.next_commit_s and round(one.next_commit_s, 3),
                    "recovered_s": [round(value, 3) for value in one.recovered_s],
                }
                for one in self.strikes
            ],
        }


def campaign(place: Site, seed: int, budget: int, pause_s: float | None, lease_s: float) -> Outcome:
    """Run one campaign to its end, under faults unless `pause_s` is None."""
    from materia.client import Client

    source = definition(budget, seed)
    with Client(place.api_url, place.api_key) as client, ExitStack() as ends:
        stand.wait_until(lambda: n_online(client) == N_HOSTS, "all workers are there")
        campaign_id = client.run(source)["campaign_id"]
        witness = Witness(place.url, campaign_id)
        ends.callback(witness.close)
        storm = Storm(
            seed, place.hosts, place.redis, witness, pause_s=pause_s or 1.0, lease_s=lease_s
        )
        ends.callback(storm.heal)
        progress = ends.enter_context(Progress())
        bar = progress.add_task(f"seed {seed}", total=budget)
        started = time.time()
        while witness.state() not in ENDS:
            n_done = len(witness.commits())
            progress.update(bar, completed=n_done)
            calm = pause_s is None or n_done >= CALM_BEFORE * budget
            if calm:
                storm.heal(time.time())
            elif (strike := storm.blow()) is not None:
                at = f"{strike.at - started:6.1f} s"
                progress.print(
                    f"{at} {strike.kind:9} {strike.host or '':6} {len(strike.jobs)} jobs"
                )
            if time.time() - started > GIVE_UP_AFTER_S:
                raise SystemExit(f"the campaign does not end; see {place.folder}")
            time.sleep(0.05)
        duration_s = time.time() - started
        storm.heal()
        told = client.campaigns.get(campaign_id)
        found = witness.examine(budget, source["objectives"])
        if told["state"] != "completed" or told["evaluations_completed"] != budget:
            found.faults.append(f"the API says {told['state']}, {told['evaluations_completed']}")
        measure(storm.strikes, witness)
        same = is_as_undisturbed(source, witness, campaign_id)
    return Outcome(seed, found, duration_s, storm.strikes, same)


def n_online(client: Any) -> int:
    """Return how many workers are alive."""
    return sum(worker["state"] == "online" for worker in client.workers.list()["items"])


def is_as_undisturbed(source: dict[str, Any], witness: Witness, campaign_id: str) -> bool:
    """Compute the campaign again with the outcomes that it had, and compare its candidates."""
    from materia import Campaign

    rows = witness.rows(
        "SELECT id, params, outcomes FROM candidates WHERE campaign_id = %s ORDER BY number",
        campaign_id,
    )
    again, n_same = Campaign.from_dict(source), 0
    while size := again.next_batch_size():
        for candidate in again.ask(size):
            row = rows[candidate.number]
            n_same += candidate.params == row["params"]
            told = {name: value_of(value) for name, value in (row["outcomes"] or {}).items()}
            again.tell({candidate.id: told or None})
    return n_same == len(rows)


def is_sound(outcome: Outcome) -> bool:
    """Return whether everything is as it should be."""
    return outcome.evidence.is_sound and outcome.same_candidates


def report(outcome: Outcome) -> None:
    """Print what became of a campaign."""
    found = outcome.evidence
    print(
        f"seed {outcome.seed}: {found.evaluations} evaluations committed, {found.started} begun, "
        f"{found.lost} lost, {found.doubled} doubled, {len(outcome.strikes)} faults, "
        f"{outcome.duration_s:.0f} s, candidates "
        + ("as undisturbed" if outcome.same_candidates else "NOT as undisturbed")
    )
    for fault in found.faults:
        print(f"  {fault}")


def recovery(campaigns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how long work took to go on, by kind of fault and in all."""
    strikes = [strike for one in campaigns for strike in one["strikes"]]

    def of(chosen: list[dict[str, Any]]) -> dict[str, Any]:
        after = [one["next_commit_s"] for one in chosen if one["next_commit_s"] is not None]
        return {
            "faults": len(chosen),
            "next_evaluation": record.spread(after),
            "interrupted_jobs": record.spread([s for one in chosen for s in one["recovered_s"]]),
        }

    by_kind = {kind: of([one for one in strikes if one["kind"] == kind]) for kind in KINDS}
    return {"all": of(strikes), **by_kind}


def print_recovery(found: dict[str, Any]) -> None:
    """Print a line for each kind of fault."""
    for kind, line in found.items():
        spreads = [line[of] for of in ("next_evaluation", "interrupted_jobs")]
        texts = [f"p50 {s['p50_s']} p95 {s['p95_s']} max {s['max_s']} s" for s in spreads]
        print(
            f"{kind:9} {line['faults']:3} faults; next evaluation {texts[0]}; "
            f"{spreads[1]['n']} interrupted jobs {texts[1]}"
        )


def write(outcomes: list[Outcome], calm: Outcome | None, lease_s: float) -> Path:
    """Write the result, together with those of other seeds at this commit."""
    before = record.earlier(NAME)
    known = {one["seed"]: one for one in before.get("campaigns", [])}
    known |= {one.seed: one.as_dict() for one in outcomes}
    campaigns = [known[seed] for seed in sorted(known)]
    undisturbed_s = calm.as_dict()["duration_s"] if calm else before["summary"]["undisturbed_s"]
    summary = {
        "campaigns": len(campaigns),
        **{key: sum(one[key] for one in campaigns) for key in ("evaluations", "lost", "doubled")},
        "undisturbed_s": undisturbed_s,
        "recovery": recovery(campaigns),
    }
    data = {
        "summary": summary,
        "hosts": N_HOSTS,
        "concurrency": CONCURRENCY,
        "lease_s": lease_s,
        "kinds": MEANING,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "campaigns": campaigns,
    }
    return record.write(NAME, data, ("ase", "psycopg"))


def main() -> int:
    """Measure, print and record; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3, help="campaigns under faults")
    parser.add_argument("--seed", type=int, default=1, help="of the first one; the next follow")
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two faults")
    parser.add_argument("--lease", type=float, default=30.0, help="MATERIA_LEASE_S")
    parser.add_argument("--smoke", action="store_true", help="a short one, nothing recorded")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.trials, chosen.budget, chosen.pause, chosen.lease = 1, 50, 5.0, 5.0
    hosts.enter_own_network()
    # An end that is asked for takes everything down in order; any other is the kernel's work.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes: list[Outcome] = []
    calm: Outcome | None = None
    folder = Path(tempfile.mkdtemp(prefix="materia-networks-"))
    with site(folder, chosen.lease) as place:
        if not chosen.smoke and not record.earlier(NAME):
            calm = campaign(place, chosen.seed, chosen.budget, None, chosen.lease)
            report(calm)
        for seed in range(chosen.seed, chosen.seed + chosen.trials):
            outcomes.append(campaign(place, seed, chosen.budget, chosen.pause, chosen.lease))
            report(outcomes[-1])
            if not chosen.smoke and all(map(is_sound, [*outcomes, *([calm] if calm else [])])):
                # Each by itself: a long run that is ended early has not run in vain.
                print(write(outcomes, calm, chosen.lease))
    print_recovery(recovery([one.as_dict() for one in outcomes]))
    if not all(map(is_sound, [*outcomes, *([calm] if calm else [])])):
        print(f"NOT sound; logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
