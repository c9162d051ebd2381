"""Faults at random moments, and how long it takes until work goes on."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from evidence import Row, Witness
from hosts import Host, pid_inside

from stand import RedisServer

# How often each kind strikes, relative to the others.
KINDS = {"worker": 3, "child": 2, "cut": 2, "partition": 1, "flush": 2}
MEANING = {
    "worker": "a worker with all its processes is killed, and started again seconds later",
    "child": "a process of a worker's pool is killed, one with a job where there is one",
    "cut": "the link of a worker's host is cut for 2 to 8 seconds",
    "partition": "the link of a worker's host is cut for longer than a lease",
    "flush": "Redis is emptied (FLUSHALL)",
}


@dataclass
class Strike:
    """One fault.

    Attributes:
        at: Seconds since the epoch.
        jobs: Ids of the jobs that it interrupted.
        next_commit_s: From the fault to the next committed evaluation.
        recovered_s: From the fault to the end of each job that it interrupted.
    """

    kind: str
    host: str | None
    at: float
    jobs: list[str] = field(default_factory=list)
    next_commit_s: float | None = None
    recovered_s: list[float] = field(default_factory=list)


class Storm:
    """Strikes hosts and Redis as a seed says; at least one host is left alone at any moment.

    Args:
        pause_s: Between two faults, on average.
        lease_s: Of the jobs; a partition is longer.
    """

    def __init__(
        self,
        seed: int,
        hosts: Sequence[Host],
        redis: RedisServer,
        witness: Witness,
        *,
        pause_s: float,
        lease_s: float,
    ) -> None:
        self.strikes: list[Strike] = []
        self._chance = random.Random(seed)
        self._hosts, self._redis, self._witness = hosts, redis, witness
        self._pause_s, self._lease_s = pause_s, lease_s
        # What is to be put right, and when.
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._next_at = time.time() + self._pause()

    def _pause(self) -> float:
        mean = self._pause_s
        return min(3 * mean, max(0.2 * mean, self._chance.expovariate(1 / mean)))

    def blow(self) -> Strike | None:
        """Strike if it is time; returns the fault."""
        self.heal(time.time())
        if time.time() < self._next_at:
            return None
        kinds, weights = zip(*KINDS.items(), strict=True)
        (kind,) = self._chance.choices(kinds, weights)
        well = [host for host in self._hosts if host.is_up and not host.is_cut]
        # One that works on something is hit rather than one that does not: there is more to lose.
        busy = [host for host in well if self._flying(host)]
        host = self._chance.choice(busy or well) if well else None
        later_s = self._chance.uniform(2.0, 6.0)
        cut_s = self._chance.uniform(2.0, 8.0)
        partition_s = self._lease_s * self._chance.uniform(1.2, 1.5)
        self._next_at = time.time() + self._pause()
        if kind == "flush" or host is None:
            strike = self._flush()
        elif kind == "child" or len(well) < 2:
            strike = self._kill_child(host)
        elif kind == "worker":
            strike = self._interrupt(kind, host, host.kill)
            self._later(later_s, host.start)
        else:
            strike = self._interrupt(kind, host, host.cut)
            self._later(cut_s if kind == "cut" else partition_s, host.mend)
        self.strikes.append(strike)
        return strike

    def _later(self, after_s: float, action: Callable[[], None]) -> None:
        self._due.append((time.time() + after_s, action))

    def heal(self, until: float = math.inf) -> None:
        """Put right what is due by a time; all of it unless one is given."""
        due = [action for at, action in self._due if at <= until]
        self._due = [entry for entry in self._due if entry[0] > until]
        for action in due:
            action()

    def _flush(self) -> Strike:
        with self._redis.client() as client:
            client.flushall()
        return Strike("flush", None, time.time())

    def _flying(self, host: Host) -> list[Row]:
        """Return the jobs that a host works on."""
        return self._witness.in_flight(f"worker@{host.name}")

    def _interrupt(self, kind: str, host: Host, action: Callable[[], None]) -> Strike:
        flying = self._flying(host)
        at = time.time()
        action()
        return Strike(kind, host.name, at, [row["id"] for row in flying])

    def _kill_child(self, host: Host) -> Strike:
        flying = self._flying(host)
        pool = {pid_inside(pid): pid for pid in host.pool()}
        # A job whose process dies three times is quarantined, and rightly so: one is hit once.
        tired = {row["pid"] for row in flying if row["crashes"]}
        busy = {row["pid"]: row["id"] for row in flying if not row["crashes"]}
        chosen = [pid for pid in pool if pid in busy] or [pid for pid in pool if pid not in tired]
        strike = Strike("child", host.name, time.time())
        if chosen:
            pid = self._chance.choice(chosen)
            strike.jobs = [busy[pid]] if pid in busy else []
            with suppress(ProcessLookupError):
                os.kill(pool[pid], signal.SIGKILL)
        return strike


def measure(strikes: Sequence[Strike], witness: Witness) -> None:
    """Note how long work took to go on after each fault."""
    commits = [row["finished_at"] for row in witness.commits()]
    ended = witness.ended(sorted({job for strike in strikes for job in strike.jobs}))
    for strike in strikes:
        later = [at for at in commits if at > strike.at]
        strike.next_commit_s = min(later) - strike.at if later else None
        # One that ended between the look and the fault was not interrupted.
        strike.recovered_s = [
            at - strike.at
            for job in strike.jobs
            if (at := ended[job]) is not None and at > strike.at
        ]
