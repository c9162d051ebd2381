"""When a schedule is due: lines of cron in a time zone, or fixed intervals. Pure calculation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice, takewhile
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from materia.errors import DefinitionError
from materia.mdl.suggest import did_you_mean

Missed = Literal["skip", "one", "all"]
MISSED: tuple[str, ...] = get_args(Missed)
MIN_INTERVAL_S = 5.0
MAX_INTERVAL_S = 366 * 86400.0
# A due time that is older counts as missed.
GRACE_S = 60.0
# Of a long outage at most so many due times fire again, the newest.
MAX_MISSED = 100


@dataclass(frozen=True, slots=True)
class Timing:
    """When a schedule fires.

    Args:
        crontab: Minute, hour, day of the month, month, day of the week. Where clocks are put
            forward a time that is skipped fires at the change; where they are put back a time
            fires once, but every-n-minutes lines go on.
        timezone: Time zone of the line of cron.
        interval_s: Instead of a line: seconds from one due time to the next.
        starts_at: First due time of an interval; seconds since the epoch.
    """

    crontab: str | None
    timezone: str
    interval_s: float | None
    starts_at: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> Timing:
        """Return the timing of a schedule's row."""
        return cls(row["crontab"], row["timezone"], row["interval_s"], row["starts_at"])

    def check(self) -> None:
        """Refuse what is no timing.

        Raises:
            DefinitionError: With the path of the field.
        """
        if (self.crontab is None) == (self.interval_s is None):
            raise DefinitionError(
                "a schedule has either a crontab or an interval_s",
                'crontab: "0 2 * * *" is daily at 2:00; interval_s: 3600 is every hour',
                path="crontab",
            )
        if self.timezone not in available_timezones():
            raise DefinitionError(
                f"timezone: there is no time zone {self.timezone!r}",
                did_you_mean(self.timezone, sorted(available_timezones()))
                or "give a name such as UTC or Europe/Berlin",
                path="timezone",
            )
        if self.interval_s is not None:
            if not MIN_INTERVAL_S <= self.interval_s <= MAX_INTERVAL_S:
                raise DefinitionError(
                    f"interval_s: {self.interval_s:g} is not between {MIN_INTERVAL_S:g} and "
                    f"{MAX_INTERVAL_S:g} seconds",
                    path="interval_s",
                )
            return
        if len((self.crontab or "").split()) != 5:
            raise DefinitionError(
                f"crontab: {self.crontab!r} has not five fields",
                'minute, hour, day of month, month, day of week: "0 2 * * *" is daily at 2:00',
                path="crontab",
            )
        try:
            next(self._from(0.0), None)
        except CronSimError as error:
            raise _no_line(self.crontab or "", str(error)) from error

    def after(self, time: float) -> float | None:
        """Return the first due time after a time; None when there is none."""
        return next(self._from(time), None)

    def _from(self, time: float) -> Iterator[float]:
        if self.interval_s is not None:
            # Rounding may put the quotient on either side: begin early, and look.
            first = max(0, math.floor((time - self.starts_at) / self.interval_s))
            moments = (self.starts_at + k * self.interval_s for k in count(first))
            yield from (moment for moment in moments if moment > time)
            return
        start = datetime.fromtimestamp(time, UTC).astimezone(ZoneInfo(self.timezone))
        for moment in CronSim(self.crontab or "", start):
            if moment.timestamp() > time:
                yield moment.timestamp()

    def _until(self, time: float) -> Iterator[float]:
        """Yield due times backwards from the newest that is not after a time."""
        if self.interval_s is not None:
            newest = math.floor((time - self.starts_at) / self.interval_s) + 1
            moments = (self.starts_at + k * self.interval_s for k in range(newest, -1, -1))
            yield from (moment for moment in moments if moment <= time)
            return
        # A minute more, for a due time at this very moment counts.
        start = datetime.fromtimestamp(time + 60.0, UTC).astimezone(ZoneInfo(self.timezone))
        for moment in CronSim(self.crontab or "", start, reverse=True):
            if moment.timestamp() <= time:
                yield moment.timestamp()

    def due(self, since: float, now: float, missed: str) -> tuple[list[float], float | None]:
        """Return which due times fire now, and the next one.

        Args:
            since: The oldest due time that has not fired.
            missed: What becomes of due times more than `GRACE_S` ago: ``skip`` leaves them out,
                ``one`` fires the newest of all, ``all`` fires each, at most `MAX_MISSED`.
        """
        # From the newest backwards: after a long outage the oldest are the many that do not count.
        past = list(islice(takewhile(lambda t: t >= since, self._until(now)), MAX_MISSED))[::-1]
        past = past or [since]
        next_at = self.after(now)
        if missed == "all":
            return past, next_at
        newest = past[-1:]
        if missed == "skip" and now - newest[0] > GRACE_S:
            newest = []
        return newest, next_at


# By what a line of cron is refused with.
_FIELDS = {
    "Bad minute": (0, "the minute", "0 to 59"),
    "Bad hour": (1, "the hour", "0 to 23"),
    "Bad day-of-month": (2, "the day of the month", "1 to 31, L for the last"),
    "Bad month": (3, "the month", "1 to 12 or JAN to DEC"),
    "Bad day-of-week": (4, "the day of the week", "0 (Sunday) to 7 (Sunday) or SUN to SAT"),
}
_FORMS = "* for all, lists 1,2, ranges 1-5, steps */5"


def _no_line(crontab: str, fault: str) -> DefinitionError:
    """Return what is wrong with five fields that are no line of cron."""
    fields = crontab.split()
    place, name, allowed = _FIELDS.get(fault, (None, fault, ""))
    if place is None:
        return DefinitionError(f"crontab: {crontab!r}: {fault}", path="crontab")
    what, fix = f"{name} cannot be {fields[place]!r}", f"allowed: {allowed}; {_FORMS}"
    if place == 2 and _is_line([*fields[:3], "*", fields[4]]):
        what = f"it never fires: month {fields[3]!r} has no day {fields[2]!r}"
        fix = "choose a day that the month has; L is the last day of every month"
    return DefinitionError(f"crontab: {crontab!r}: {what}", fix, path="crontab")


def _is_line(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), datetime.fromtimestamp(0.0, UTC))
    except CronSimError:
        return False
    return True
