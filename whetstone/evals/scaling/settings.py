"""Wishes at budgets, made into strategies that this model can follow on these questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.engine.backends import Backend
from whetstone.engine.strategies.adaptive import Calibrates
from whetstone.engine.strategies.names import strategy_of
from whetstone.engine.strategies.parallel import Parallel
from whetstone.engine.strategies.strategy import Question, Strategy
from whetstone.errors import UsageError
from whetstone.evals.scaling.asking import Asker
from whetstone.evals.scaling.wishes import Wish


@dataclass(frozen=True)
class Setting:
    """One strategy to be measured: a wish at a budget."""

    wish: Wish
    budget: int
    name: str
    strategy: Strategy

    @property
    def pooled(self) -> Parallel | None:
        """The strategy, where a pool of independent samples says all about it."""
        return self.strategy if isinstance(self.strategy, Parallel) and self.strategy.wordings == 1 else None

    @property
    def calibrates(self) -> bool:
        """Whether it chooses a threshold by itself, on questions kept for that: where none is named."""
        return isinstance(self.strategy, Calibrates) and "threshold=" not in self.wish.options

    @property
    def verifier(self) -> str:
        """The name of what chooses among the samples of a pool; empty where nothing does."""
        found = self.pooled.verifier if self.pooled else None
        return found.name if found else ""

    def units(self, n: int) -> int:
        """About how many completions it asks for, for the time left; a pool is counted apart."""
        return 0 if self.pooled else n * max(1, self.budget)


def settings_of(
    wishes: Sequence[Wish], budgets: Sequence[int], questions: Sequence[Question], asker: Asker, strict: bool
) -> tuple[list[Setting], list[dict[str, str]]]:
    """Every strategy to be measured, and those that cannot be, with the reason.

    Raises UsageError for a wish of which no setting can be where `strict` (it was asked for by name).
    """
    found: list[Setting] = []
    left_out: list[dict[str, str]] = []
    for wish in wishes:
        failed: list[dict[str, str]] = []
        settings = wish.settings(budgets, questions[0].room)
        for budget, name in settings:
            try:
                setting = Setting(wish, budget, name, strategy_of(name, asker.tools))
                if not setting.calibrates:
                    _require_possible(setting, questions[0], asker.backend)
                found.append(setting)
            except UsageError as error:
                failed.append({"method": name, "why": str(error)})
        if failed and len(failed) == len(settings):  # no setting works: the method is what cannot be
            if strict:
                raise UsageError(failed[-1]["why"])
            failed = [{"method": wish.name, "why": failed[-1]["why"]}]
        if not settings:
            failed = [{"method": wish.name, "why": "none of the budgets is large enough for it"}]
        left_out += failed
    return found, left_out


def _require_possible(setting: Setting, question: Question, backend: Backend) -> None:
    strategy = setting.strategy
    if isinstance(strategy, Parallel) and strategy.wordings > 1 and len(question.prompts) == 1:
        raise UsageError(f"{setting.name}: the task has no second wording that needs no more room")
    if setting.pooled is None:
        started = strategy.solve(question, backend)
        next(started, None)  # it looks at the backend before it asks for the first thing
        started.close()
