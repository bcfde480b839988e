"""The child process that holds reasoning-gym: a seed and a level in, a question with its gold answer out.

The library is other people's code: some of its generators raise, some take minutes on an unlucky seed. Here it can be
killed, and what it returns has become plain JSON before it reaches the parent.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import inspect
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from whetstone.errors import UsageError
from whetstone.sandbox.worker import serve
from whetstone.tasks.gym.table import SUPPORTED
from whetstone.tasks.task import Verdict

ATTEMPTS = 50  # seeds that are tried before a generator counts as broken
LIBRARY = "reasoning_gym"


class Host:
    """One generator of the library, made once for each level and given a new seed for each problem."""

    def __init__(self, name: str) -> None:
        self.name, self.generator = name, SUPPORTED[name]
        self._made: dict[int, Any] = {}
        self._levels: list[int] = []

    def load(self) -> None:
        """Import the library. Raises UsageError when it is not there."""
        try:
            import reasoning_gym
        except ImportError as error:
            message = "tasks gym:NAME need the library reasoning-gym: pip install 'whetstone-lab[gym]'"
            raise UsageError(message) from error
        if self.name not in reasoning_gym.factory.DATASETS:
            raise UsageError(f"the installed reasoning-gym has no generator {self.name!r}; version 0.1.25 has")
        self._levels = self._steps()

    def describe(self) -> dict[str, Any]:
        """{levels, version}: the steps of the curriculum, and a hash of the library's version, the generator and us."""
        from reasoning_gym.factory import DATASETS

        digest = hashlib.sha256(importlib.metadata.version(LIBRARY).encode())
        digest.update(inspect.getsource(sys.modules[DATASETS[self.name][0].__module__]).encode())
        digest.update(Path(__file__).read_bytes())
        return {"levels": self._levels, "version": digest.hexdigest()}

    def make(self, seed: str, level: int) -> dict[str, Any]:
        """The problem of a seed (hex): {question, gold, about, details}.

        A seed on which the generator raises, or whose answer is not of the form that our judge reads (empty, say),
        gives way to the next in a fixed order.
        """
        reason = ""
        for attempt in range(ATTEMPTS):
            derived = hmac.digest(bytes.fromhex(seed), attempt.to_bytes(8, "big"), "sha256")
            try:
                return self._entry(derived, level)
            except Exception as error:  # a stranger's generator may raise anything
                reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"gym:{self.name} made no problem of level {level} in {ATTEMPTS} tries; the last one: {reason}"
        )

    def _entry(self, seed: bytes, level: int) -> dict[str, Any]:
        entry = self._drawn(int.from_bytes(seed[:8], "big"), level)
        gold, metadata = entry["answer"], entry["metadata"]
        details = {field: plain(metadata[field]) for field in self.generator.needs if field in metadata}
        about = [sorted_lists(plain(metadata[field])) for field in self.generator.about if field in metadata]
        question, text = str(entry["question"]).strip(), str(gold)
        if not text.strip() or self.generator.judge(text, text, details) is not Verdict.RIGHT:
            raise ValueError(f"its answer {text[:60]!r} is not of the form that is judged here")
        made = {"question": question, "gold": text, "about": about or " ".join(question.split()), "details": details}
        return dict(json.loads(json.dumps(made, allow_nan=False)))

    def _drawn(self, seed: int, level: int) -> dict[str, Any]:
        from reasoning_gym.factory import DATASETS

        random.seed(seed)  # some draw from the global generator
        dataset = self._made.get(level)
        if dataset is None or self.generator.rebuilt:
            dataset = DATASETS[self.name][0](config=self._config(level, seed))
            self._made[level] = dataset
        dataset.seed = dataset.config.seed = seed
        return dict(dataset[0])

    def _config(self, level: int, seed: int) -> Any:
        from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum

        if self.name not in CURRICULA:
            return DATASETS[self.name][1](seed=seed, size=1)
        curriculum = create_curriculum(self.name)
        for attribute, definition in curriculum.attributes.items():
            curriculum.set_attr_level(attribute, min(level - 1, len(definition.levels) - 1))
        return curriculum.generate_configuration({"seed": seed, "size": 1})

    def _steps(self) -> list[int]:
        from reasoning_gym.factory import CURRICULA, create_curriculum

        if self.name not in CURRICULA:
            return [1]
        steps = max(len(definition.levels) for definition in create_curriculum(self.name).attributes.values())
        top = self.generator.top or steps
        return [step for step in range(1, top + 1) if step not in self.generator.skip]


def plain(value: Any) -> Any:
    """`value` as JSON knows it; what it does not know as text."""
    return json.loads(json.dumps(value, default=str))


def sorted_lists(value: Any) -> Any:
    """A flat list in order of its elements' texts; anything else as it is (the rows of a puzzle have their order)."""
    flat = isinstance(value, list) and not any(isinstance(each, list) for each in value)
    return sorted(value, key=str) if flat else value


def main() -> None:
    """The child process: NAME."""
    # some generators go through a set of texts, whose order is another in every process unless this is fixed
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
    host = Host(sys.argv[1])
    serve({"start": host.load, "describe": host.describe, "make": host.make})


if __name__ == "__main__":
    main()
