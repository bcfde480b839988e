"""The texts an audit is about: items of a task under a key, in their published order, and what is drawn beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whetstone.errors import UsageError
from whetstone.evals.contamination.detectors.canary import Canary, canaries
from whetstone.evals.contamination.detectors.exchangeability import SHARD
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.keys import Key, Stream
from whetstone.tasks.task import Problem, Task

# What stands between two items of a file; it also stands before the first, so that every token of an item is predicted.
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Item:
    """A problem as a published file has it: the question, and its answer on the next line."""

    problem: Problem
    question: str
    answer: str

    @property
    def text(self) -> str:
        return f"{self.question}\n{self.answer}"


@dataclass(frozen=True)
class ItemSet:
    """Items in their published order, and the canaries that were planted among them, if any were."""

    items: tuple[Item, ...]
    canaries: tuple[Canary, ...] = ()

    def shards(self) -> list[tuple[Item, ...]]:
        """Consecutive items by threes; what is left over at the end belongs to none."""
        return [self.items[first : first + SHARD] for first in range(0, len(self.items) - SHARD + 1, SHARD)]


def as_item(task: Task, problem: Problem) -> Item:
    return Item(problem, problem.question, task.answer(problem) or "")


def draw(
    task: Task, level: int, key: bytes, sizes: Sequence[int], without: Sequence[Item] = ()
) -> list[tuple[Item, ...]]:
    """Sets of these sizes from the evaluation split under `key`, all items different, and none of `without`.

    Raises UsageError when the task has too few different problems.
    """
    wanted, known = sum(sizes), {item.problem.id for item in without}
    problems = Stream(task, key, "eval", level).take(wanted + len(known), distinct=True)
    fresh = [as_item(task, problem) for problem in problems if problem.id not in known][:wanted]
    sets, first = [], 0
    for size in sizes:
        sets.append(tuple(fresh[first : first + size]))
        first += size
    return sets


def suspects(task: Task, level: int, seed: str, n: int, twins: int, planted: int) -> tuple[ItemSet, ItemSet]:
    """The items of a seed as `whet eval --seed` draws them, with the canaries of their key, and fresh twins of them
    under a key that nobody has published anything of."""
    key = Key.derive(seed.encode(), "whetstone eval")
    other = Key.derive(seed.encode(), "whetstone audit twins")
    (items,) = draw(task, level, key, [n])
    (fresh,) = draw(task, level, other, [twins], without=items)
    return ItemSet(items, tuple(canaries(key, planted))), ItemSet(fresh, tuple(canaries(other, 2 * planted)))


def separator_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Raises UsageError for a tokenizer that knows no line break."""
    ids = tuple(tokenizer.encode(SEPARATOR))
    if not ids:
        raise UsageError("the model's tokenizer makes nothing of a line break: its texts cannot be set apart")
    return ids


def document_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Texts as a file has them, one after the other: each with the separator before it, encoded apart so that the order
    of the texts changes no token inside of them."""
    before = separator_ids(tokenizer)
    return [token for text in texts for token in (*before, *tokenizer.encode(text))]
