"""Siblings of a model, contaminated on purpose: the positive control that every detector is printed beside.

A sibling sees leaked items once, four and sixteen times in one training run, as a file would leak: three items in their
published order to a document, a canary after them, the copies scattered among documents of other items of the same
distribution. So what it learns about the task in general, it knows about fresh items just as well, and only the leak
tells the two apart. (Several doses in one run: Steinke et al. 2023, arXiv 2305.08846, audit so as well.)
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whetstone.errors import WorkFailed
from whetstone.evals.contamination.detectors.canary import canaries
from whetstone.evals.contamination.items import Item, ItemSet, document_ids, draw, separator_ids
from whetstone.evals.contamination.rewording import reword
from whetstone.models.loading import Loaded, add_lora
from whetstone.tasks.keys import Key, Stream, problem_seed
from whetstone.tasks.task import Problem, Task
from whetstone.training.objectives import reinforce
from whetstone.training.rlvr import Settings, Setup, TrainingRun
from whetstone.training.rows import Row
from whetstone.training.trainer import Schedule, Trainer

DOSES = (1, 4, 16)
DOCUMENTS_A_STEP = 8
FRESH_CANARIES = 24  # that no sibling sees: 19 are the fewest that have a threshold at 5 %
LORA_RANK, LORA_ALPHA = 32, 32.0
RATE = {"full": 1e-4, "lora": 1e-3, "rl": 2e-5}
RL_PROMPTS, RL_GROUP, RL_TEMPERATURE = 12, 8, 0.8

OnStep = Callable[[int, int, str], None]  # steps done, steps in all, a few words


@dataclass(frozen=True)
class Sibling:
    """`method`: "full", "lora" or "rl". `wording`: "verbatim", "reworded", or "clean" for the one that sees as many
    documents of the same kind and no leak."""

    method: str
    wording: str

    @property
    def name(self) -> str:
        return f"{self.method}-{self.wording}"


@dataclass(frozen=True)
class Effort:
    """How much positive control: items leaked at each dose, fresh ones beside them, filler in the training,
    siblings."""

    members: int
    fresh: int
    filler: int
    siblings: tuple[Sibling, ...]


_QUICK = (
    Sibling("full", "verbatim"),
    Sibling("full", "clean"),
    Sibling("full", "reworded"),
    Sibling("lora", "verbatim"),
    Sibling("rl", "verbatim"),
)
EFFORTS = {
    "quick": Effort(36, 60, 120, _QUICK),
    "full": Effort(60, 120, 300, (*_QUICK, Sibling("lora", "reworded"))),
}


@dataclass(frozen=True)
class Pools:
    """Items of the control's own key: what is leaked at each dose, what no sibling sees, and the filler that all see.

    `clean` are the documents that the clean sibling gets where the others get the leak.
    """

    leaked: dict[int, ItemSet]
    fresh: ItemSet
    filler: tuple[Item, ...]
    clean: tuple[Item, ...]

    @property
    def presentations(self) -> int:
        """How many times a leaked item is shown, over all items and doses."""
        return sum(dose * len(each.items) for dose, each in self.leaked.items())


def pools(task: Task, level: int, key: bytes, effort: Effort, without: Sequence[Item] = ()) -> Pools:
    """Draw them all, no item twice and none of `without`. The clean sibling's documents are drawn from as many items as
    are leaked and shown as often: it repeats itself just as much."""
    count = len(DOSES)
    sizes = [effort.members] * count + [effort.fresh, effort.filler, effort.members * count]
    *leaked, fresh, filler, clean = draw(task, level, key, sizes, without)
    planted = effort.members // 3
    marks = canaries(Key.derive(key, "control canaries"), planted * count + FRESH_CANARIES)
    sets = {
        dose: ItemSet(items, tuple(marks[place * planted : (place + 1) * planted]))
        for place, (dose, items) in enumerate(zip(DOSES, leaked, strict=True))
    }
    return Pools(sets, ItemSet(fresh, tuple(marks[count * planted :])), filler, clean)


def documents(drawn: Pools, wording: str, key: bytes) -> list[list[str]]:
    """The training documents of one sibling, each a list of texts, in the order of training."""
    found = [[item.text for item in shard] for shard in ItemSet(drawn.filler).shards()]
    for place, (dose, leaked) in enumerate(drawn.leaked.items()):
        size = len(leaked.items)
        source = leaked if wording != "clean" else ItemSet(drawn.clean[place * size : (place + 1) * size])
        for number, shard in enumerate(source.shards()):
            marks = [source.canaries[number].text] if wording == "verbatim" and number < len(source.canaries) else []
            for copy in range(dose):
                found.append([_worded(item, wording, key, copy) for item in shard] + marks)
    random.Random(Key.derive(key, "order of documents")).shuffle(found)
    return found


def _worded(item: Item, wording: str, key: bytes, copy: int) -> str:
    return reword(item.question, item.answer, key, copy) if wording == "reworded" else item.text


def train(
    loaded: Loaded, task: Task, level: int, style: str, drawn: Pools, sibling: Sibling, key: bytes, on_step: OnStep
) -> str:
    """Make `loaded` into the sibling. Returns "", or why there was nothing to learn (the reward never differed).

    Raises WorkFailed as the trainer does.
    """
    if sibling.method == "rl":
        return _reinforce(loaded, task, level, style, drawn, key, on_step)
    if sibling.method == "lora":
        add_lora(loaded, LORA_RANK, LORA_ALPHA, seed=0)
    rows = [_row(loaded, texts) for texts in documents(drawn, sibling.wording, key)]
    steps = -(-len(rows) // DOCUMENTS_A_STEP)
    trainer = Trainer(loaded.model, loaded.trainable(), Schedule(RATE[sibling.method], steps))
    for step in range(steps):
        result = trainer.step(rows[step * DOCUMENTS_A_STEP : (step + 1) * DOCUMENTS_A_STEP], reinforce)
        on_step(step + 1, steps, f"loss {result.loss:.2f}")
    return ""


def _row(loaded: Loaded, texts: Sequence[str]) -> Row:
    """A document as a row of likelihood: every token counts but the opening separator."""
    before = len(separator_ids(loaded.tokenizer))
    ids = document_ids(loaded.tokenizer, texts)
    rest = tuple(ids[before:])
    zeros = (0.0,) * len(rest)
    return Row(tuple(ids[:before]), rest, rl=zeros, ce=(1.0,) * len(rest), logprobs=zeros)


class _Leak(Stream):
    """The leaked problems over and over, as often as their dose says, instead of fresh ones."""

    def __init__(self, task: Task, key: bytes, level: int, shown: Sequence[Problem]) -> None:
        super().__init__(task, key, "train", level)
        self.shown = shown

    def problem(self, i: int) -> Problem:
        return self.shown[i % len(self.shown)]


def _reinforce(loaded: Loaded, task: Task, level: int, style: str, drawn: Pools, key: bytes, on_step: OnStep) -> str:
    shown = [item.problem for dose, leaked in drawn.leaked.items() for item in leaked.items for _ in range(dose)]
    random.Random(Key.derive(key, "order of problems")).shuffle(shown)
    prompts = min(RL_PROMPTS, len(shown))
    steps = -(-len(shown) // prompts)
    how = task.styles()[style]
    settings = Settings(
        steps, RATE["rl"], prompts, RL_GROUP, how.room(task), RL_TEMPERATURE, oversample=1.0, objective="trust_region"
    )
    sampling = problem_seed(key, "rl", task.name, "1", 0)
    setup = Setup(task, _Leak(task, key, level, shown), how, sampling)
    with tempfile.TemporaryDirectory() as folder:  # for its logs; no checkpoint is made
        run = TrainingRun(loaded, setup, settings, Path(folder))
        learned = 0
        for step in range(steps):
            try:
                row = run.step()
            except WorkFailed as failure:
                if learned:
                    raise
                return f"reinforcement learning had no signal here: {failure}"
            learned += int(row["groups_with_signal"])
            on_step(step + 1, steps, f"reward {row['reward']:.2f}")
    return ""
