"""Tasks by name: the built-in ones, `gym:NAME` for a generator of reasoning-gym, `file.py:Class` for a user's own, a
benchmark's file."""

from __future__ import annotations

import difflib
from pathlib import Path

from whetstone.errors import UsageError
from whetstone.tasks.arithmetic import Addition, Chain, Fractions, Gcd, Multiplication, Subtraction
from whetstone.tasks.countdown import Countdown
from whetstone.tasks.fiction.reading import Fiction
from whetstone.tasks.files.task import is_benchmark, load_file
from whetstone.tasks.gym.task import PREFIX, GymTask
from whetstone.tasks.lists import Largest, Sorting
from whetstone.tasks.task import Task
from whetstone.tasks.user_file import UserTask
from whetstone.tasks.words import Letters, Reversal
from whetstone.tasks.worlds.automaton import Automaton
from whetstone.tasks.worlds.deck import Deck
from whetstone.tasks.worlds.kinship import Kinship
from whetstone.tasks.worlds.language import Language
from whetstone.tasks.worlds.machine import Machine
from whetstone.tasks.worlds.numerals import Numerals
from whetstone.tasks.worlds.operators import Combining, Operator
from whetstone.tasks.worlds.rewriting import Derivation, Rewriting
from whetstone.tasks.worlds.units import Units
from whetstone.tasks.worlds.walker import Walker

BUILTIN: dict[str, type[Task]] = {
    cls.name: cls
    for cls in (
        Addition,
        Subtraction,
        Multiplication,
        Chain,
        Gcd,
        Fractions,
        Largest,
        Sorting,
        Countdown,
        Letters,
        Reversal,
        Operator,
        Combining,
        Rewriting,
        Derivation,
        Automaton,
        Numerals,
        Language,
        Deck,
        Kinship,
        Walker,
        Machine,
        Units,
        Fiction,
    )
}


def stratum_tasks(stratum: str) -> list[str]:
    """Names of the built-in tasks that a round asks in stratum C or D when it names none of its own."""
    return [name for name, task in BUILTIN.items() if task.stratum == stratum]


def split_spec(spec: str) -> tuple[str, str]:
    """("file.py", "Class") of a user's own task, ("", "") of a built-in one."""
    file, colon, class_name = spec.rpartition(":")
    return (file, class_name) if colon and file.endswith(".py") else ("", "")


def load_task(spec: str) -> Task:
    """The task that `spec` names: a built-in name, "gym:NAME", "file.py:Class", or a benchmark's file.

    Raises UsageError, in one line, for an unknown name or for a file that is missing or broken.
    """
    if spec in BUILTIN:
        return BUILTIN[spec]()
    if spec.startswith(PREFIX):
        return GymTask(spec.removeprefix(PREFIX))
    if is_benchmark(spec):
        return load_file(Path(spec))
    file, colon, class_name = spec.rpartition(":")
    if colon and file.endswith(".py"):
        if not Path(file).is_file():
            raise UsageError(f"there is no file {file}")
        if not class_name.isidentifier():
            raise UsageError(f"{class_name!r} is not the name of a class; write --task {file}:CLASS")
        return UserTask(Path(file), class_name)
    if spec.endswith(".py"):
        raise UsageError(f"name the class too: --task {spec}:CLASS")
    near = difflib.get_close_matches(spec, BUILTIN, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    names = ", ".join(BUILTIN)
    raise UsageError(
        f"unknown task {spec!r}; {hint}choose one of {names}, gym:NAME (gym:? lists them), your own "
        "as file.py:CLASS, or a file of items (.jsonl, .json, .parquet)"
    )
