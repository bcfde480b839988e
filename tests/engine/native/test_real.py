"""The kernel with SmolLM2-135M, where a small error would have thirty layers to grow."""

from __future__ import annotations

import pytest
import torch

from tests.engine.native.paged import blocks_for, needs_kernel, reference, rows_of, step, stored
from tests.models.tiny import our_logits, relative_error
from whetstone.engine.native import NativeRunner
from whetstone.engine.native.packed import STORAGES, StorageKind
from whetstone.models.checkpoint import load_folder
from whetstone.models.decoder import Decoder
from whetstone.models.hub import resolve
from whetstone.models.tokenizer import Tokenizer

pytestmark = [pytest.mark.real, needs_kernel]
NEW = 20


@pytest.fixture(scope="module")
def model() -> Decoder:
    return load_folder(resolve("smollm2-135m"))[0]


@pytest.fixture(scope="module")
def prompt() -> list[int]:
    question = "Write a short story about a lighthouse keeper."
    return list(Tokenizer.load(resolve("smollm2-135m")).chat_ids([{"role": "user", "content": question}]))


def test_greedy_continuation_equals_that_of_the_decoder(model: Decoder, prompt: list[int]) -> None:
    runner = NativeRunner(model, blocks_for(len(prompt) + NEW))
    table, ids = [list(range(runner.blocks))], list(prompt)
    logits = runner.run(step(rows_of(ids), table, wanted=[len(ids) - 1]))
    while len(ids) < len(prompt) + NEW:
        ids.append(int(logits[0].argmax()))
        logits = runner.run(step(rows_of(ids, len(ids) - 1), table))
    theirs = our_logits(model, ids)[len(prompt) - 1 : -1]
    assert theirs.argmax(-1).tolist() == ids[len(prompt) :]


@pytest.mark.parametrize("storage", STORAGES)
def test_logits_equal_the_decoders(model: Decoder, prompt: list[int], storage: StorageKind) -> None:
    runner = NativeRunner(model, blocks_for(len(prompt)), storage)
    logits = runner.run(step(rows_of(prompt), [list(range(runner.blocks))]))
    assert relative_error(logits, reference(stored(model, storage), prompt)[0]) < 1e-3
    assert torch.equal(logits, runner.run(step(rows_of(prompt), [list(range(runner.blocks))])))
