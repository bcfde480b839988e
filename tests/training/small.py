"""What the tests of this folder train: a tiny model, a task of one line, rewards, and a run that can be killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.tiny import tiny_model, tiny_tokenizer
from whetstone.engine.protocol import Completion
from whetstone.models.decoder import Decoder
from whetstone.models.loading import Loaded, add_lora, load
from whetstone.models.packing import TokenTrie
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.keys import Stream
from whetstone.tasks.task import Problem, Task, Verdict
from whetstone.training.rewards import Reward, task_reward
from whetstone.training.rlvr import Settings, Setup, TrainingRun
from whetstone.training.rows import Row

KEY = b"the key of these tests"
# The end mark and ten letters: a random model meets one of these eleven about every eighth token.
STOPS = [1, *tiny_tokenizer().encode("ABCDEFGHIJ")]
STEPS = 20  # of the runs that are killed
SETTINGS = Settings(steps=20, learning_rate=3e-3, prompts=8, group_size=8, max_new_tokens=16)


class Digits(Task):
    """Say something with an even digit in it: a random model does so now and then."""

    levels = (1,)

    def sample(self, seed: bytes, level: int) -> Problem:
        n = random.Random(seed).randrange(10**6)
        return Problem(f"{n}?", {"n": n})

    def check(self, problem: Problem, text: str) -> Verdict:
        return Verdict.RIGHT if any(digit in text for digit in "02468") else Verdict.WRONG


def length_reward(problem: Problem, completion: Completion, verdict: Verdict, seed: int) -> float:
    """Longer is better."""
    return float(len(completion.ids))


def often_stopping() -> Tokenizer:
    """A tokenizer with several stop ids, so that answers of a random model have unlike lengths."""
    tokenizer = tiny_tokenizer()
    return Tokenizer(tokenizer.core, tokenizer.config, {"eos_token_id": STOPS})


def tiny_loaded(seed: int = 0, **changes: object) -> Loaded:
    return Loaded(tiny_model(seed, **changes), often_stopping(), "tiny", Path("tiny"))


def make_run(
    folder: Path,
    loaded: Loaded,
    task: Task | None = None,
    reward: Reward = task_reward,
    key: bytes = KEY,
    **changes: object,
) -> TrainingRun:
    judged = task or Digits()
    setup = Setup(judged, Stream(judged, key, "train", 1), judged.styles()["plain"], key, reward)
    return TrainingRun(loaded, setup, replace(SETTINGS, **changes), folder)


def some_rows(model: Decoder, count: int = 9, seed: int = 0, temperature: float = 1.0, shift: float = 0.0) -> list[Row]:
    """Rows of three prompts, of unlike lengths; the log-probabilities are the model's own, moved by up to `shift`."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [tuple(torch.randint(5, 84, (3 + 2 * p,), generator=generator).tolist()) for p in range(3)]
    rows = []
    for place in range(count):
        prompt, length = prompts[place % 3], 1 + place % 5
        ids = torch.randint(5, 84, (length,), generator=generator).tolist()
        moved = (2 * torch.rand(length, generator=generator) - 1) * shift
        logprobs = token_logprobs_apart(model, prompt, ids, temperature) + moved
        advantage = float(torch.randn((), generator=generator))
        rows.append(Row(prompt, tuple(ids), (advantage,) * length, (0.0,) * length, tuple(logprobs.tolist())))
    return rows


@torch.no_grad()
def token_logprobs_apart(
    model: Decoder, prompt: Sequence[int], ids: Sequence[int], temperature: float = 1.0
) -> torch.Tensor:
    """Log-probability of each id [T] by a forward pass over this one sequence."""
    tree = TokenTrie([[*prompt, *ids]])
    hidden_ND = model(tree.ids_N, tree.positions_N, tree)[len(prompt) - 1 : -1]
    logprobs_TV = torch.log_softmax(model.logits(hidden_ND) / temperature, -1)
    return logprobs_TV.gather(1, torch.tensor(ids)[:, None])[:, 0]


def resumable_run(folder: Path, model_folder: Path, lora: bool) -> TrainingRun:
    """A run of 20 short steps in `folder`, at its start or where the last process left it."""
    loaded = load(str(model_folder))
    loaded.tokenizer = often_stopping()
    if lora:
        add_lora(loaded, rank=2, alpha=4.0, seed=1)
    sizes = {"steps": STEPS, "save_every": 3, "prompts": 3, "group_size": 4, "max_new_tokens": 5}
    run = make_run(folder, loaded, reward=length_reward, **sizes)
    run.resume()
    return run


def train_in_child(folder: Path, model_folder: Path, lora: bool, dies_at: int | None = None) -> None:
    """Begin or go on, to the end of the run; the body of a process that the tests kill.

    With `dies_at` the process kills itself, as `kill -9` would, just before its so many-th change to the disk
    (a row is synced, a file is synced, a file or a folder is renamed).
    """
    if dies_at is not None:
        _die_at(dies_at)
    # a pause, in which a parent that waits for its moment gets its turn
    resumable_run(folder, model_folder, lora).train(lambda row: time.sleep(0.01))


def _die_at(count: int) -> None:
    left = count

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted

    os.fsync, os.rename, os.replace = dying(os.fsync), dying(os.rename), dying(os.replace)
