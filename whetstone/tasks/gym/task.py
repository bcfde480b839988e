"""`gym:NAME`: a generator of reasoning-gym as an ordinary task, with our keys, our partition and our forms."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from whetstone.errors import UsageError
from whetstone.sandbox.worker import Worker, WorkerDied, WorkerRaised, WorkerTimeout, python_command
from whetstone.tasks import forms
from whetstone.tasks.answers import final_number
from whetstone.tasks.gym import table
from whetstone.tasks.gym.table import REFUSED, SUPPORTED
from whetstone.tasks.task import Facts, Problem, Task, Verdict

PREFIX = "gym:"
LISTING = "gym:?"
LOAD_SECONDS = 120.0  # the library brings word lists and matplotlib with it
SAMPLE_SECONDS = 20.0
MEMORY = 4 * 2**30  # bytes
REMEMBERED = 20_000  # gold answers kept in the parent; any other is made again from its seed


class GymTask(Task):
    """One generator. Level n is step n of the library's own curriculum; without one there is level 1, the defaults.

    A problem's facts are the seed that it was made from and what it is about. The gold answer does not travel with it:
    `check` makes it again from the seed, or remembers it.
    """

    def __init__(self, name: str, sample_seconds: float = SAMPLE_SECONDS) -> None:
        """Raises UsageError for an unknown or refused name, and when the library is not installed."""
        require_supported(name)
        self.generator_name, self.generator = name, SUPPORTED[name]
        self.name = PREFIX + name
        self.max_new_tokens, self.verifiable = self.generator.room, self.generator.verifiable
        self._seconds = sample_seconds
        self._worker = Worker(python_command("whetstone.tasks.gym.child", name), memory=MEMORY)
        self._golds: OrderedDict[tuple[str, int], dict[str, Any]] = OrderedDict()
        about = self._ask("describe", {})
        self.levels = tuple(about["levels"])
        # what is asked and how it is judged: their source and ours
        ours = inspect.getsource(forms) + inspect.getsource(table) + inspect.getsource(GymTask)
        self.version = hashlib.sha256((about["version"] + ours).encode()).hexdigest()[:12]

    def sample(self, seed: bytes, level: int) -> Problem:
        """Raises UsageError, in one line, when the generator keeps raising or takes too long."""
        made = self._ask("make", {"seed": seed.hex(), "level": level})
        self._remember(seed.hex(), level, made)
        return Problem(made["question"], {"seed": seed.hex(), "level": level, "about": made["about"]})

    def check(self, problem: Problem, text: str) -> Verdict:
        made = self._judged_by(problem)
        return self.generator.judge(forms.without_echo(text, problem.question), made["gold"], made["details"])

    def answer(self, problem: Problem) -> str | None:
        return str(self._judged_by(problem)["gold"])

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"about": facts["about"]}

    def final_answer(self, text: str) -> str | None:
        if self.generator.judge in (forms.integer, forms.number):
            return final_number(text)
        return super().final_answer(text)

    def close(self) -> None:
        """Stop the child process; the next use starts another."""
        self._worker.close()

    def _judged_by(self, problem: Problem) -> dict[str, Any]:
        """{gold, details} of a problem."""
        seed, level = problem.facts["seed"], problem.facts["level"]
        if (seed, level) not in self._golds:
            self._remember(seed, level, self._ask("make", {"seed": seed, "level": level}))
        return self._golds[seed, level]

    def _remember(self, seed: str, level: int, made: Mapping[str, Any]) -> None:
        self._golds[seed, level] = {name: made[name] for name in ("gold", "details")}
        if len(self._golds) > REMEMBERED:
            self._golds.popitem(last=False)

    def _ask(self, method: str, arguments: Mapping[str, Any]) -> Any:
        try:
            return self._worker.call(method, arguments, self._seconds, LOAD_SECONDS)
        except WorkerTimeout as error:
            level = arguments.get("level")
            raise UsageError(f"{self.name}: making a problem of level {level}: {error}; take a lower level") from error
        except WorkerRaised as error:
            raise UsageError(str(error).removeprefix(f"{UsageError.__name__}: ")) from error
        except WorkerDied as error:
            raise UsageError(f"{self.name}: the process that runs the generator stopped: {error}") from error


def require_supported(name: str) -> None:
    """Raises UsageError, saying why, for a generator that is refused or unknown."""
    if name in REFUSED:
        raise UsageError(f"gym:{name} is refused, because no exact judgement is known: {REFUSED[name]}")
    if name not in SUPPORTED:
        near = difflib.get_close_matches(name, SUPPORTED, n=1)
        hint = f"did you mean gym:{near[0]}? " if near else ""
        raise UsageError(f"reasoning-gym has no generator {name!r}; {hint}`--task {LISTING}` lists them")
