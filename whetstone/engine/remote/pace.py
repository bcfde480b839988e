"""Rate limits that the client keeps by itself: so much in any 60 seconds, and waits that grow by chance."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE = 60.0


@dataclass
class _Spent:
    at: float
    amount: float


class Pace:
    """At most `limit` in any window of 60 seconds; None: no limit. One that is larger than the limit goes alone."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._window: deque[_Spent] = deque()

    def wait(self, now: float, amount: float = 1.0) -> float:
        """Seconds until `amount` fits; 0: it fits now. `now` in seconds, of a clock that never goes back."""
        if self.limit is None:
            return 0.0
        while self._window and self._window[0].at + MINUTE <= now:
            self._window.popleft()
        held = sum(spent.amount for spent in self._window)
        wait = 0.0
        for spent in self._window:
            if held + amount <= self.limit:
                break
            held -= spent.amount
            wait = spent.at + MINUTE - now
        return wait

    def spend(self, now: float, amount: float = 1.0) -> Callable[[float], None]:
        """Take `amount` out of the window that ends now. Returns how to correct it once the true amount is known."""
        spent = _Spent(now, amount)
        if self.limit is not None:
            self._window.append(spent)

        def correct(true_amount: float) -> None:
            spent.amount = true_amount

        return correct


def backoff(attempt: int, base: float, longest: float, chance: random.Random) -> float:
    """Seconds to wait after failure number `attempt` (from 0): exponential with full jitter, uniform on
    [0, min(longest, base * 2**attempt)] (AWS Architecture Blog, 2015)."""
    return chance.uniform(0, min(longest, base * 2.0 ** min(attempt, 60)))


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3); None for nothing."""
    if not header:
        return None
    try:
        seconds = float(header)
        return seconds if 0 <= seconds < float("inf") else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
