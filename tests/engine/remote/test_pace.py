"""Rate limits hold in every window, waits grow by chance, and Retry-After is read in both of its forms."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from whetstone.engine.remote.pace import MINUTE, Pace, backoff, retry_after

work = st.lists(st.tuples(st.floats(0, 40), st.floats(0.5, 12)), min_size=1, max_size=30)


@given(work, st.floats(1, 20))
def test_no_window_holds_more_than_the_limit(asked: list[tuple[float, float]], limit: float) -> None:
    """Brute force: whoever waits as told never has more than the limit in 60 seconds, or is one too large, alone."""
    pace, now = Pace(limit), 0.0
    sent: list[tuple[float, float]] = []
    for pause, amount in asked:
        now += pause
        while (wait := pace.wait(now, amount)) > 0:
            assert wait <= MINUTE * (1 + 1e-9)
            now += wait + 1e-9
        pace.spend(now, amount)
        sent.append((now, amount))
        window = [each for at, each in sent if at + MINUTE > now]
        assert sum(window) <= limit * (1 + 1e-9) or len(window) == 1


@given(work, st.floats(1, 20))
def test_nobody_waits_without_need(asked: list[tuple[float, float]], limit: float) -> None:
    pace, now = Pace(limit), 0.0
    sent: list[tuple[float, float]] = []
    for pause, amount in asked:
        now += pause
        wait = pace.wait(now, amount)
        if wait > 1e-6:
            early = now + wait - 1e-6
            window = [each for at, each in sent if at + MINUTE > early]
            assert sum(window) + amount > limit and window
        now += wait + 1e-9
        if pace.wait(now, amount) == 0:
            pace.spend(now, amount)
            sent.append((now, amount))


def test_the_true_amount_replaces_the_guess() -> None:
    pace = Pace(10)
    correct = pace.spend(0.0, 10)
    assert pace.wait(1.0, 5) == MINUTE - 1
    correct(5)
    assert pace.wait(1.0, 5) == 0
    assert Pace(None).wait(0.0, 1e12) == 0


def test_waits_have_full_jitter() -> None:
    chance = random.Random(0)
    for attempt, top in ((0, 2.0), (1, 4.0), (3, 16.0), (4, 20.0), (5000, 20.0)):
        waits = [backoff(attempt, 2.0, 20.0, chance) for _ in range(2000)]
        assert 0 <= min(waits) < 0.02 * top and 0.98 * top < max(waits) <= top
        assert abs(sum(waits) / len(waits) - top / 2) < 0.05 * top


def test_retry_after_in_seconds_and_as_a_date() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert retry_after("7") == 7 and retry_after("0.5") == 0.5 and retry_after("0") == 0
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert retry_after(format_datetime(now - timedelta(hours=1), usegmt=True), now) == 0
    for nonsense in (
        None,
        "",
        "soon",
        "-3",
        "nan",
        "inf",
        "1e999",
        "Thu, 99 Foo 2026",
        "Mon, 01 Jan 99999 00:00:00 GMT",
    ):
        assert retry_after(nonsense, now) is None, nonsense
