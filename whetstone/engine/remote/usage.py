"""What an endpoint was used for, in tokens and in dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# Counts beyond this are not counts (JSON numbers are exact up to here).
LARGEST = 2**53


class Prices(BaseModel):
    """USD per million tokens, with the day they were read and the page. None are built in: they would be out of date.

    `cached`: of prompt tokens that the server had computed before; the price of `input` where it is not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    date: date
    source: str = Field(min_length=1)


@dataclass
class Usage:
    """Sums over all that the server answered, as the server counted. `completion` includes `reasoning` (hidden
    thought), `prompt` includes `cached`. `uncounted`: answers that came without a count, so that the sums are too low.
    """

    requests: int = 0  # sent, retries included
    retries: int = 0
    answered: int = 0
    prompt: int = 0
    completion: int = 0
    reasoning: int = 0
    cached: int = 0
    uncounted: int = 0

    def add(self, counted: object) -> int | None:
        """Add the `usage` object of one response; returns its completion tokens, None where they were not counted."""
        self.answered += 1
        usage = counted if isinstance(counted, Mapping) else {}
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        if prompt is None or completion is None:
            self.uncounted += 1
        self.prompt += prompt or 0
        self.completion += completion or 0
        self.reasoning += min(_detail(usage, "completion_tokens_details", "reasoning_tokens"), completion or 0)
        self.cached += min(_detail(usage, "prompt_tokens_details", "cached_tokens"), prompt or 0)
        return completion

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def cost(self, prices: Prices) -> dict[str, Any]:
        """{usd, date, source, complete}; not complete where answers were not counted, or asked again after a failure
        that the server may have charged for."""
        cached_price = prices.input if prices.cached is None else prices.cached
        millionths = (
            (self.prompt - self.cached) * prices.input + self.cached * cached_price + self.completion * prices.output
        )
        return {
            "usd": millionths / 1e6,
            "date": prices.date.isoformat(),
            "source": prices.source,
            "complete": self.uncounted == 0 and self.requests == self.answered,
        }


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST:
        return None
    return value


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (_count(details.get(name)) if isinstance(details, Mapping) else None) or 0
