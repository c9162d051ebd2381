"""Candidates and what has become of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PROPOSED, TOLD, FAILED = "proposed", "told", "failed"
INITIAL_DESIGN = "initial design"


@dataclass(frozen=True)
class Candidate:
    """A point that a campaign proposes to evaluate. All of it is JSON-able.

    Attributes:
        id: Name within the campaign, c0001 for the first one.
        number: Order of asking, from 0.
        iteration: Number of the `ask` it came from, from 0.
        params: The point, in the user's units.
        predicted: {objective: {"mean", "std"}} in the user's units; None in the initial design.
        why: Where it comes from ("source") and what it was chosen for.
    """

    id: str
    number: int
    iteration: int
    params: dict[str, Any]
    predicted: dict[str, dict[str, float]] | None
    why: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A candidate with its state and outcomes.

    Attributes:
        state: proposed, told (some outcome is known) or failed.
        outcomes: {objective: value or [mean, standard error]}, None until told.
    """

    candidate: Candidate
    state: str = PROPOSED
    outcomes: dict[str, Any] | None = None

    def is_settled(self, m: int) -> bool:
        """Return whether it failed, or all m objectives are known."""
        if self.state == FAILED:
            return True
        return self.outcomes is not None and len(self.outcomes) == m

    def as_dict(self) -> dict[str, Any]:
        """Return the record as `Campaign.dump` holds it."""
        return {**asdict(self.candidate), "state": self.state, "outcomes": self.outcomes}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Record:
        """Return the record that `as_dict` described; `predicted` and `why` may be missing."""
        candidate = Candidate(
            id=str(saved["id"]),
            number=int(saved["number"]),
            iteration=int(saved["iteration"]),
            params=dict(saved["params"]),
            predicted=saved.get("predicted"),
            why=dict(saved.get("why") or {}),
        )
        outcomes = saved.get("outcomes")
        return cls(candidate, str(saved["state"]), dict(outcomes) if outcomes else None)


@dataclass(frozen=True)
class Addition:
    """A point of the user's own, or earlier data.

    Attributes:
        params: In the user's units.
        outcomes: As in `Record`.
        after: How many candidates had been asked when it was added.
    """

    params: dict[str, Any]
    outcomes: dict[str, Any]
    after: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the addition as `Campaign.dump` holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Addition:
        """Return the addition that `as_dict` described; `after` may be missing."""
        return cls(dict(saved["params"]), dict(saved["outcomes"]), int(saved.get("after", 0)))
