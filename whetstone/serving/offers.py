"""What a server offers beside its models: strategies with names of their own, and thinking budgets by effort."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from whetstone.engine.strategies.strategy import Verifier
from whetstone.engine.verifiers import free_verifiers
from whetstone.errors import UsageError
from whetstone.serving.models import NAME, Served

EFFORTS: Mapping[str, int] = {"none": 0, "minimal": 0, "low": 512, "medium": 2048, "high": 8192}
AT = "@"  # between a model's name, which never has one, and a strategy


def free(served: Served | None = None) -> Mapping[str, Verifier]:
    """Verifiers that need nothing but the candidates; a server's question brings no check of its own."""
    return {name: verifier for name, verifier in free_verifiers().items() if name != "check"}


@dataclass(frozen=True)
class Offers:
    """`named`: MODEL@STRATEGY by the name that clients use. `efforts`: tokens that a model may think for each value of
    `reasoning_effort`. `verifiers`: those that go with a model, by name. `routes`: folders of `whet route` by the name
    that clients use. `heads`: folders of learned verifiers, each for the models of its weights.
    `endpoints`: a file that names those that routes ask."""

    named: Mapping[str, str] = field(default_factory=dict)
    efforts: Mapping[str, int] = field(default_factory=lambda: EFFORTS)
    verifiers: Callable[[Served], Mapping[str, Verifier]] = free
    routes: Mapping[str, Path] = field(default_factory=dict)
    heads: tuple[Path, ...] = ()
    endpoints: Path | None = None
    created: int = field(default_factory=lambda: int(time.time()))


def named_strategies(given: Iterable[str]) -> dict[str, str]:
    """{name: MODEL@STRATEGY} of arguments NAME=MODEL@STRATEGY. Raises UsageError."""
    named: dict[str, str] = {}
    for argument in given:
        name, _, spec = argument.partition("=")
        model, at, strategy = spec.partition(AT)
        if not (NAME.fullmatch(name) and model and at and strategy):
            raise UsageError(f"--strategy {argument!r} is not of the form NAME=MODEL@STRATEGY, as in careful=m@best-4")
        if name in named:
            raise UsageError(f"two strategies cannot both be called {name!r}")
        named[name] = spec
    return named


def thinking_budgets(given: Iterable[str]) -> dict[str, int]:
    """The default budgets with those of arguments EFFORT=TOKENS in their place. Raises UsageError."""
    efforts = dict(EFFORTS)
    for argument in given:
        match = re.fullmatch(r"([a-z]{1,20})=(\d{1,6})", argument)
        if match is None:
            raise UsageError(f"--effort {argument!r} is not of the form EFFORT=TOKENS, as in low=256")
        efforts[match[1]] = int(match[2])
    return efforts
