"""When schedules are due: cron over changes of the clock, intervals, missed periods."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.errors import DefinitionError
from materia.services.due_times import GRACE_S, MAX_MISSED, MISSED, Timing

BERLIN = ZoneInfo("Europe/Berlin")
DAY = 86400.0


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def cron(line: str, zone: str = "Europe/Berlin") -> Timing:
    return Timing(line, zone, None, 0.0)


def test_daily_at_two_is_at_two_whenever_the_scheduler_starts() -> None:
    daily = cron("0 2 * * *")
    for start in ("2026-06-01 02:00:01", "2026-06-01 17:23", "2026-06-02 01:59:59"):
        assert daily.after(at(start)) == at("2026-06-02 02:00")


def test_a_time_that_is_skipped_fires_at_the_change_and_one_that_comes_twice_fires_once() -> None:
    daily = cron("30 2 * * *")
    assert daily.after(at("2026-03-28 12:00")) == at("2026-03-29 03:00")
    first = daily.after(at("2026-10-24 12:00"))
    assert first == at("2026-10-25 02:30")
    assert daily.after(first) == at("2026-10-26 02:30")


def test_a_line_in_utc_knows_no_summer_time() -> None:
    hours = cron("0 * * * *", "UTC")
    moment, steps = at("2026-10-25 00:00"), []
    for _ in range(6):
        moment = hours.after(moment) or 0.0
        steps.append(moment)
    assert {b - a for a, b in pairwise(steps)} == {3600.0}


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", []),
        ("one", ["2026-06-04 02:00"]),
        ("all", ["2026-06-02 02:00", "2026-06-03 02:00", "2026-06-04 02:00"]),
    ],
)
def test_missed_periods_follow_the_policy(missed: str, expected: list[str]) -> None:
    due, next_at = cron("0 2 * * *").due(at("2026-06-02 02:00"), at("2026-06-04 09:00"), missed)
    assert due == [at(text) for text in expected]
    assert next_at == at("2026-06-05 02:00")


@pytest.mark.parametrize("missed", MISSED)
def test_a_due_time_that_has_just_come_fires_under_every_policy(missed: str) -> None:
    since = at("2026-06-02 02:00")
    due, _ = cron("0 2 * * *").due(since, since + 3, missed)
    assert due == [since]
    due, _ = cron("0 2 * * *").due(since, since, missed)
    assert due == [since]


def test_a_year_of_missed_minutes_fires_the_newest_hundred() -> None:
    now = at("2026-06-04 09:00:30")
    due, next_at = cron("* * * * *").due(now - 365 * DAY, now, "all")
    assert len(due) == MAX_MISSED
    assert (due[-1], next_at) == (at("2026-06-04 09:00"), at("2026-06-04 09:01"))
    assert due == sorted(due)


def test_the_29th_of_february_is_found_years_ahead() -> None:
    assert cron("0 0 29 2 *").after(at("2026-01-01 00:00")) == at("2028-02-29 00:00")


@given(
    interval=st.floats(5, 1e6),
    start=st.floats(1.7e9, 1.9e9),
    away=st.floats(0, 1e7),
    missed=st.sampled_from(MISSED),
)
def test_intervals_keep_their_clock(
    interval: float, start: float, away: float, missed: str
) -> None:
    timing = Timing(None, "UTC", interval, start)
    since = timing.after(start + 1.0) or 0.0
    now = since + away
    due, next_at = timing.due(since, now, missed)
    assert next_at is not None
    assert now < next_at <= now + interval * (1 + 1e-6)
    assert all(since <= moment <= now for moment in due)
    assert len(set(due)) == len(due) <= MAX_MISSED
    assert len(due) <= 1 or missed == "all"
    if missed == "skip":
        assert all(now - moment <= GRACE_S for moment in due)
    else:
        assert due
        assert now - due[-1] <= interval * (1 + 1e-6)


@pytest.mark.parametrize(
    ("timing", "path"),
    [
        (Timing(None, "UTC", None, 0.0), "crontab"),
        (Timing("0 2 * * *", "UTC", 60.0, 0.0), "crontab"),
        (Timing("61 2 * * *", "UTC", None, 0.0), "crontab"),
        (Timing("* * * * * *", "UTC", None, 0.0), "crontab"),
        (Timing("", "UTC", None, 0.0), "crontab"),
        (Timing("daily", "UTC", None, 0.0), "crontab"),
        (Timing("0 2 * * *", "Europe/Berln", None, 0.0), "timezone"),
        (Timing(None, "UTC", 1.0, 0.0), "interval_s"),
        (Timing(None, "UTC", float("nan"), 0.0), "interval_s"),
        (Timing(None, "UTC", 1e12, 0.0), "interval_s"),
    ],
)
def test_what_is_no_timing_is_refused(timing: Timing, path: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        timing.check()
    assert refused.value.path == path


def test_a_misspelt_time_zone_gets_a_suggestion() -> None:
    with pytest.raises(DefinitionError, match="Europe/Berlin"):
        Timing("0 2 * * *", "Europe/Berln", None, 0.0).check()


@pytest.mark.parametrize(
    ("crontab", "said", "fix"),
    [
        ("99 2 * * *", "the minute cannot be '99'", "allowed: 0 to 59"),
        ("0 2-25 * * *", "the hour cannot be '2-25'", "0 to 23"),
        ("0 2 0 * *", "the day of the month cannot be '0'", "1 to 31"),
        ("0 2 * 13 *", "the month cannot be '13'", "1 to 12 or JAN to DEC"),
        ("0 2 * * mond", "the day of the week cannot be 'mond'", "SUN to SAT"),
        ("0 2 31 2 *", "it never fires: month '2' has no day '31'", "choose a day"),
    ],
)
def test_a_line_of_cron_that_is_none_says_what_is_allowed(
    crontab: str, said: str, fix: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        Timing(crontab, "UTC", None, 0.0).check()
    assert said in refused.value.message
    assert fix in str(refused.value.hint)
