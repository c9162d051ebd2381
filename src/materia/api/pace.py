"""How much one key may ask for: so much a second on average, and a burst of ten seconds at once."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from starlette.responses import Response

from materia.api.problems import CODES, problem
from materia.services.keys import Caller

BURST_S = 10.0


@dataclass(slots=True)
class Bucket:
    """Fills at a rate, and is emptied by requests.

    Args:
        rate: Requests a second.
    """

    rate: float
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.at = max(1.0, BURST_S * self.rate), time.monotonic()

    def wait_s(self) -> float:
        """Take one, and return 0; or return how long it takes until there is one."""
        now = time.monotonic()
        most = max(1.0, BURST_S * self.rate)
        self.left, self.at = min(most, self.left + (now - self.at) * self.rate), now
        if self.left < 1.0:
            return (1.0 - self.left) / self.rate
        self.left -= 1.0
        return 0.0


class Pace:
    """The limits of every key, in this process.

    Args:
        requests_per_s: Of all requests.
        changes_per_s: Of those that change something.
    """

    def __init__(self, requests_per_s: float, changes_per_s: float) -> None:
        self._rates = {False: requests_per_s, True: changes_per_s}
        self._buckets: dict[tuple[str | None, bool], Bucket] = {}

    def wait_s(self, caller: Caller, *, is_change: bool) -> float:
        """Count a request; 0 when it may be served, else how long its key has to wait."""
        kinds = (False, True) if is_change else (False,)
        return max(self._bucket(caller.key_id, kind).wait_s() for kind in kinds)

    def _bucket(self, key_id: str | None, kind: bool) -> Bucket:
        # As many as there are keys: who has none was refused before.
        found = self._buckets.get((key_id, kind))
        if found is None:
            found = self._buckets[key_id, kind] = Bucket(self._rates[kind])
        return found


def too_many(message: str, hint: str, wait_s: float) -> Response:
    """Return the answer to a request too many, which says when to come again."""
    headers = {"Retry-After": str(max(1, math.ceil(wait_s)))}
    return problem(429, CODES[429], message, hint=hint, headers=headers)
