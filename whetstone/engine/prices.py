"""What tokens and hours cost: a TOML file of the user's own, each price with the day it was read and where.

    ["smollm2-135m"]               # a model as it is called on the command line: by the hour of this machine
    usd_per_hour = 0.09
    date = 2026-01-15
    source = "the provider's price list"

    ["gpt-x"]                      # the --model of an endpoint: by the million tokens
    input = 0.15
    output = 0.60
    cached = 0.075
    date = 2026-01-15
    source = "https://…/pricing"

    ["*"]                          # whatever has no line of its own
    usd_per_hour = 0.09
    …

None are built in: they would be out of date.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whetstone.engine.remote.usage import Prices
from whetstone.engine.strategies.spending import Spent
from whetstone.errors import UsageError

ANY = "*"


class Hourly(BaseModel):
    """USD for an hour of the machine, with the day it was read and where."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    usd_per_hour: float = Field(ge=0)
    date: date
    source: str = Field(min_length=1)


@dataclass(frozen=True)
class PriceTable:
    """Prices by a model's name; "*" is for all others."""

    models: Mapping[str, Prices | Hourly] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> PriceTable:
        """Read the TOML file. Raises UsageError that names the file, the model and the line's key."""
        try:
            tables = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else failure
            raise UsageError(f"{path} cannot be read: {reason}") from None
        return cls({name: _price(path, name, table) for name, table in tables.items()})

    def of(self, model: str) -> Prices | Hourly | None:
        """The price of a model; None where there is none for it."""
        return self.models.get(model, self.models.get(ANY))

    def usd(self, model: str, spent: Spent) -> float | None:
        """What `spent` costs on that model; None where its price is not known. By tokens: prompts and what verifiers
        read at the price of input, cached tokens at that of `cached`, written ones at that of output. By the hour: the
        seconds that the work took."""
        price = self.of(model)
        if price is None:
            return None
        if isinstance(price, Hourly):
            return spent.seconds * price.usd_per_hour / 3600
        cached = price.input if price.cached is None else price.cached
        read = (spent.prompt_tokens + spent.verifier_tokens) * price.input
        return (read + spent.cached_tokens * cached + spent.written_tokens * price.output) / 1e6

    def sources(self, models: Iterable[str]) -> list[dict[str, Any]]:
        """The lines that the prices of `models` come from, as a report prints them; those without one left out."""
        found = {model: price for model in models if (price := self.of(model)) is not None}
        return [{"model": model} | price.model_dump(mode="json", exclude_none=True) for model, price in found.items()]


def _price(path: Path, name: str, table: object) -> Prices | Hourly:
    if not isinstance(table, dict):
        raise UsageError(f'{path}: prices stand under a model\'s name, as in ["smollm2-135m"], and {name!r} is none')
    kind = Hourly if "usd_per_hour" in table else Prices
    try:
        return kind.model_validate(table)
    except ValidationError as failure:
        first = failure.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise UsageError(f"{path}: the price of {name!r} needs {where}") from None
        if first["type"] == "extra_forbidden":
            raise UsageError(f"{path}: the price of {name!r} has no {where!r}") from None
        raise UsageError(f"{path}: {where} of {name!r}: {first['msg']}") from None
