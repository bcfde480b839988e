"""The real SmolLM2-135M-Instruct, through our code and through transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.test_tokenizer import TEXTS
from tests.models.tiny import our_logits, relative_error, their_logits
from whetstone.models.checkpoint import load_folder
from whetstone.models.hub import resolve
from whetstone.models.tokenizer import Tokenizer

pytestmark = pytest.mark.real
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."


@pytest.fixture(scope="module")
def folder() -> Path:
    return resolve("smollm2-135m")


def test_greedy_answer_and_logits_equal_those_of_transformers(folder: Path) -> None:
    model, _ = load_folder(folder)
    tokenizer = Tokenizer.load(folder)
    prompt = tokenizer.chat_ids(QUESTION)
    ids = list(prompt)
    while ids[-1] not in tokenizer.stop_ids or len(ids) == len(prompt):
        ids.append(int(our_logits(model, ids)[-1].argmax()))
        assert len(ids) < len(prompt) + 20
    assert tokenizer.decode(ids[len(prompt) :]) == ANSWER

    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    inputs = torch.tensor([prompt])
    generated = theirs.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=20)
    assert generated[0].tolist() == ids
    assert relative_error(our_logits(model, ids), their_logits(theirs, ids)) <= 1e-4


def test_tokenizer_equals_that_of_transformers(folder: Path) -> None:
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False)
        assert ours.decode(ids, keep_special=True) == text
    assert ours.render(QUESTION) == theirs.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    assert ours.stop_ids == {theirs.eos_token_id} == {2} and ours.pad_id == theirs.pad_token_id == 2
    assert ours.vocab_size == len(theirs) == 49152


def test_published_ids(folder: Path) -> None:
    """The opening of every SmolLM2 chat, and a sum: every digit is one token."""
    tokenizer = Tokenizer.load(folder)
    opening = [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407]
    assert tokenizer.chat_ids(QUESTION)[: len(opening)] == opening
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode("What is 28 + 21?")]
    assert pieces == ["What", " is", " ", "2", "8", " +", " ", "2", "1", "?"]


def test_config(folder: Path) -> None:
    hf = json.loads((folder / "config.json").read_text())
    assert hf["model_type"] == "llama" and hf["tie_word_embeddings"] and hf["rms_norm_eps"] == 1e-5
    assert (hf["rope_theta"], hf["eos_token_id"], hf["bos_token_id"]) == (100_000, 2, 1)
    model, _ = load_folder(folder)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
