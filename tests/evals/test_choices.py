"""Multiple choice by likelihood against brute force with transformers: acc and acc_norm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.tiny import CONFIGS, randomise
from tests.tiny import tiny_tokenizer
from whetstone.engine.backends import Source
from whetstone.errors import UsageError
from whetstone.evals.choices import accuracies, encoded_pair, rows, score_choices
from whetstone.evals.evaluate import evaluate
from whetstone.models.checkpoint import load_folder
from whetstone.models.loading import Loaded, load
from whetstone.models.tokenizer import Tokenizer
from whetstone.tasks.files.task import ChoiceFile
from whetstone.tasks.registry import load_task

ITEMS = [
    ("Which of these animals lays eggs?", ["a dog", "a hen", "a very large brown cow"], 1),
    ("Water turns into ice when it is", ["cooled", "heated for a long time"], 0),
    ("Which planet is closest to the Sun?", ["Earth", "Mars", "Jupiter", "Mercury"], 3),
    ("What do bees collect from flowers?", ["sand", "nectar", "stones", "the smoke of a fire"], 1),
    ("What pulls a dropped ball to the ground?", ["magnetism", "electricity", "gravity"], 2),
]


def items_file(folder: Path, items: list[tuple[str, list[str], int]] = ITEMS) -> Path:
    path = folder / "items.jsonl"
    rows_ = [{"question": question, "choices": choices, "answer": gold} for question, choices, gold in items]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_))
    return path


def brute_force(model: Any, tokenizer: Tokenizer, items: list[tuple[str, list[str], int]]) -> list[dict[str, Any]]:
    """One sequence at a time, as the definition says."""
    found = []
    for question, choices, gold in items:
        context = f"Question: {question}\nAnswer:"
        sums, greedy = [], []
        for choice in choices:
            ids, start = tokenizer.encode(f"{context} {choice}"), len(tokenizer.encode(context))
            with torch.no_grad():
                logprobs = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
            sums.append(sum(float(logprobs[t - 1, ids[t]]) for t in range(start, len(ids))))
            greedy.append(all(int(logprobs[t - 1].argmax()) == ids[t] for t in range(start, len(ids))))
        acc = int(np.argmax(sums)) == gold
        acc_norm = int(np.argmax([s / len(choice) for s, choice in zip(sums, choices, strict=True)])) == gold
        found.append({"sums": sums, "greedy": greedy, "acc": acc, "acc_norm": acc_norm})
    return found


def compare(loaded: Loaded, theirs: Any, path: Path, tolerance: float) -> None:
    task = load_task(str(path))
    assert isinstance(task, ChoiceFile)
    scored = score_choices(loaded, task, task.draw(99, b"k").problems)
    expected = brute_force(theirs, loaded.tokenizer, ITEMS)
    for ours, right in zip(scored, expected, strict=True):
        np.testing.assert_allclose(ours.logprobs, right["sums"], rtol=tolerance)
        assert list(ours.greedy) == right["greedy"]
        assert (ours.right, ours.right_normalised) == (right["acc"], right["acc_norm"])
    raw, normalised = accuracies(scored)
    assert raw.mean == np.mean([each["acc"] for each in expected])
    assert normalised.mean == np.mean([each["acc_norm"] for each in expected])


@pytest.mark.parametrize("seed", range(4))
def test_against_brute_force_with_random_parameters(tmp_path: Path, seed: int) -> None:
    from transformers import AutoModelForCausalLM

    config = CONFIGS["llama-tied"]
    theirs = randomise(AutoModelForCausalLM.from_config(config), seed)
    theirs.save_pretrained(tmp_path / "model")
    model, _ = load_folder(tmp_path / "model")
    compare(Loaded(model, tiny_tokenizer(), "tiny", tmp_path), theirs, items_file(tmp_path), 1e-5)


@pytest.mark.real
def test_against_brute_force_with_the_real_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    loaded = load("smollm2-135m")
    theirs = AutoModelForCausalLM.from_pretrained(loaded.folder, attn_implementation="eager").float()
    compare(loaded, theirs, items_file(tmp_path), 1e-4)
    found = evaluate("smollm2-135m", str(items_file(tmp_path)), rows=True)
    assert found["style"] == "likelihood" and len(found["rows"]) == 5
    assert found["accuracy"]["mean"] == np.mean([row["verdict"] == "right" for row in found["rows"]])
    assert found["accuracy_normalised"]["mean"] == np.mean([r["verdict_normalised"] == "right" for r in found["rows"]])
    assert found["file"]["note"] == "fixed items: nothing keeps them out of training" and found["seed_note"] is None
    assert "level" not in found and found["verdicts"]["right"] + found["verdicts"]["wrong"] == 5


def test_where_the_context_ends() -> None:
    """Spaces at the end of the context belong to what follows; a continuation is never empty."""
    tokenizer = tiny_tokenizer()
    context, choice = encoded_pair(tokenizer, "ab:  ", "cd")
    assert (tokenizer.decode(context), tokenizer.decode(choice)) == ("ab:", "  cd")
    context, choice = encoded_pair(tokenizer, "ab:", " c")
    assert (tokenizer.decode(context), tokenizer.decode(choice)) == ("ab:", " c")


def test_ties_go_to_the_first(tmp_path: Path) -> None:
    model, _ = load_folder_of_zeros(tmp_path)
    task = load_task(str(items_file(tmp_path, [("x", ["ab", "cd"], 1), ("y", ["ab", "cd"], 0)])))
    assert isinstance(task, ChoiceFile)
    scored = score_choices(Loaded(model, tiny_tokenizer(), "zeros", tmp_path), task, task.draw(9, b"k").problems)
    assert [each.likeliest for each in scored] == [0, 0] and [each.right for each in scored] == [False, True]
    written = rows(scored)
    assert [row["verdict"] for row in written] == ["wrong", "right"] and json.loads(json.dumps(written)) == written


def load_folder_of_zeros(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_config(CONFIGS["llama-tied"])
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()
    theirs.save_pretrained(folder / "zeros")
    return load_folder(folder / "zeros")


def test_what_is_refused(tmp_path: Path) -> None:
    path = str(items_file(tmp_path))
    with pytest.raises(UsageError, match=r"needs a model's own weights.*by another --style"):
        evaluate(Source("http://127.0.0.1:9/v1", name="m"), path)
    with pytest.raises(UsageError, match="a likelihood is not sampled"):
        evaluate("smollm2-135m", path, samples=4)
    with pytest.raises(UsageError, match="fixed items, which have no level"):
        evaluate("smollm2-135m", path, level=1)
    with pytest.raises(UsageError, match="unknown style 'only'; choose one of likelihood, letter"):
        evaluate("smollm2-135m", path, style="only")


def test_a_row_that_is_too_long_is_named(tmp_path: Path) -> None:
    model, _ = load_folder_of_zeros(tmp_path)  # 128 positions
    task = load_task(str(items_file(tmp_path, [("x", ["ab", "cd"], 1), ("y" * 200, ["ab", "cd"], 0)])))
    assert isinstance(task, ChoiceFile)
    with pytest.raises(UsageError, match=r"items.jsonl: row 2 takes \d+ tokens with one of its choices"):
        score_choices(Loaded(model, tiny_tokenizer(), "zeros", tmp_path), task, task.draw(9, b"k").problems)
