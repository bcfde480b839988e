"""`whet eval` and `whet generate`: measuring and asking one model."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.cli.process import start, whet
from tests.tiny import digit_task, tiny_folder
from whetstone.models.loading import add_lora, load, save_weights
from whetstone.text import printable


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny")
    tiny_folder(folder / "short", max_positions=40)
    digit_task(folder)
    return folder


def test_eval_prints_an_accuracy_with_its_interval(desk: Path) -> None:
    said = whet("eval", "tiny", "--task", "mytask.py:Digits", "--n", 40, cwd=desk)
    assert said.code == 0
    first, second, third, looks, note = said.out.splitlines()
    assert note == "note: these are the problems of every run with seed 0, the default; another --seed draws others"
    assert re.fullmatch(r"look \d+ at this task with these weights, \d+ with any, on this machine", looks)
    assert first.startswith("digits level 2: ") and "% right (95 % interval " in first and "40 problems)" in first
    assert second.startswith("verdicts: right ") and third.startswith("tokens per answer 6.0, cut off ")
    assert said.err.splitlines() == ["answers 0/40", said.err.splitlines()[1]] and "answers: 40/40" in said.err


def test_eval_json(desk: Path) -> None:
    command = ("eval", "tiny", "--task", "digits", "--n", 40, "--json")
    found = json.loads(whet(*command, cwd=desk).out)
    assert found["accuracy"].keys() == {"mean", "low", "high", "n"} and found["accuracy"]["n"] == 40
    assert found["task"] == "digits" and found["level"] == 2 and found["model"] == "tiny" and found["style"] == "only"
    assert sum(found["verdicts"].values()) == 40 and len(found["key"]) == 64 and "pass_at_k" not in found
    again = json.loads(whet(*command, cwd=desk).out)
    assert again.pop("looks")["weights"] == found.pop("looks")["weights"] + 1
    assert again == found
    assert (found["seed"], found["seed_shared"], found["temperature"]) == (0, True, 0)
    other = json.loads(whet(*command, "--seed", 1, cwd=desk).out)
    assert other["key"] != found["key"] and other["seed_shared"] is False and other["seed_note"] is None


def test_eval_with_samples(desk: Path) -> None:
    command = ("eval", "tiny", "--task", "digits", "--level", 1, "--n", 20, "--samples", 5)
    found = json.loads(whet(*command, "--json", cwd=desk).out)
    assert [row["k"] for row in found["pass_at_k"]] == [1, 2, 4] and sum(found["verdicts"].values()) == 100
    means = [row["mean"] for row in found["pass_at_k"]]
    assert means == sorted(means) and found["accuracy"]["mean"] == pytest.approx(means[0])
    said = whet(*command, cwd=desk).out
    assert "pass@4: " in said and "20 problems) at temperature 1\n" in said and found["temperature"] == 1
    cooler = json.loads(whet(*command, "--temperature", 0.3, "--json", cwd=desk).out)
    assert cooler["temperature"] == 0.3 and cooler["pass_at_k"] != found["pass_at_k"]
    refused = whet(*command, "--temperature", 0, cwd=desk)
    assert refused.code == 2 and "several greedy answers are all the same" in refused.complaint


def test_styles_that_reason_get_room(desk: Path) -> None:
    command = ("eval", "tiny", "--task", "digits", "--n", 10, "--json", "--style")
    only, steps = (json.loads(whet(*command, style, cwd=desk).out) for style in ("only", "steps"))
    assert only["tokens_per_answer"] <= 6 < steps["tokens_per_answer"]


def test_a_wrong_task_is_said_before_anything_is_begun(desk: Path) -> None:
    refused = whet("eval", "tiny", "--task", "nope", cwd=desk)
    assert refused.code == 2 and refused.err == f"whet: {refused.complaint}\n"
    refused = whet("eval", "short", "--task", "digits", cwd=desk)
    assert refused.code == 2 and "but the model takes 40 in all" in refused.complaint


def test_generate(desk: Path) -> None:
    said = whet("generate", "tiny", "What is 2 + 2?", "--max-tokens", 5, cwd=desk)
    assert said.code == 0 and said.err == "" and said.out.endswith("\n")
    assert whet("generate", "tiny", "What is 2 + 2?", "--max-tokens", 5, cwd=desk).out == said.out
    other = whet("generate", "tiny", "What is 2 + 2?", "--max-tokens", 5, "--system", "Be wrong.", cwd=desk)
    assert other.code == 0 and other.out != said.out


def test_generate_with_a_draft_model_says_the_same(desk: Path) -> None:
    tiny_folder(desk / "smaller", seed=1, layers=1)
    command = ("generate", "tiny", "What is 2 + 2?", "--max-tokens", 30, "--n", 3, "--temperature", 0.8, "--json")
    plain = whet(*command, cwd=desk).out
    for options in (("--draft", "smaller"), ("--draft", "tiny")):
        said = whet(*command, *options, cwd=desk)
        rows, expected = ([json.loads(line) for line in out.splitlines()] for out in (said.out, plain))
        assert said.code == 0 and [row["ids"] for row in rows] == [row["ids"] for row in expected]
    refused = whet(*command, "--draft", "nowhere", cwd=desk)
    assert refused.code == 2 and "nowhere" in refused.complaint
    refused = whet(*command, "--draft-weights", "int8", cwd=desk)
    assert refused.code == 2 and "name one by --draft" in refused.complaint


def test_what_a_terminal_would_obey_is_spelled_out(desk: Path) -> None:
    """A model whose letters are control characters."""
    tiny_folder(desk / "wild")
    path = desk / "wild" / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary, wild = content["model"]["vocab"], "\x1b\x07\x08\x7f\x9b\x9d\u202e\u2066\r"
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for letter, character in zip(letters, wild, strict=False):
        vocabulary[character] = vocabulary.pop(letter)
    path.write_text(json.dumps(content))
    command = ("generate", "wild", "1 + 1", "--n", 8, "--temperature", 1, "--max-tokens", 40)
    rows = [json.loads(line) for line in whet(*command, "--json", cwd=desk).out.splitlines()]
    said = whet(*command, cwd=desk).out
    assert any(character in row["text"] for row in rows for character in wild), "--json is exact"
    assert not set(wild) & set(said)
    assert said == "".join(f"{printable(row['text'])}\n" for row in rows)


def test_an_adapter_is_measured_and_asked_like_any_model(desk: Path) -> None:
    adapter = load(str(desk / "tiny"))
    add_lora(adapter, rank=2, alpha=2, seed=0)  # fresh adapters change nothing
    (desk / "adapter").mkdir()
    save_weights(adapter, desk / "adapter")
    for verb in (("eval", "--task", "digits", "--n", 20), ("generate", "Hello", "--max-tokens", 9)):
        plain, adapted = (whet(verb[0], model, *verb[1:], cwd=desk) for model in ("tiny", "adapter"))
        said, expected = (re.sub(r"look \d+ .*\n", "", done.out) for done in (adapted, plain))
        assert adapted.code == 0 and said == expected
    config = desk / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(desk / "tiny"), "/no/longer/there"))
    for verb in (("eval",), ("generate", "Hello")):
        refused = whet(verb[0], "adapter", *verb[1:], cwd=desk)
        assert refused.code == 2
        assert refused.complaint.startswith("adapter is an adapter for the model '/no/longer/there', which cannot be ")


def test_generate_several_as_json(desk: Path) -> None:
    command = ("generate", "tiny", "Hello", "--n", 3, "--temperature", 1, "--max-tokens", 7, "--json")
    said = whet(*command, cwd=desk)
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len(rows) == 3 and len({row["text"] for row in rows}) == 3
    for row in rows:
        assert row.keys() == {"text", "finish", "ids", "logprobs"} and len(row["ids"]) == len(row["logprobs"]) <= 7
        assert all(logprob < 0 and math.isfinite(logprob) for logprob in row["logprobs"])
    shifted = [json.loads(line) for line in whet(*command, "--seed", 1, cwd=desk).out.splitlines()]
    # neighbouring seeds share no answers
    assert not {tuple(row["ids"]) for row in shifted} & {tuple(row["ids"]) for row in rows}


def test_generate_stays_inside_the_model(desk: Path) -> None:
    row = json.loads(whet("generate", "short", "Hello", "--json", cwd=desk).out)
    assert len(row["ids"]) <= 40 - 8  # the question, one token a letter, and three marks
    refused = whet("generate", "short", "x" * 60, cwd=desk)
    assert refused.code == 2
    assert refused.complaint.startswith("the prompt has 63 tokens and the model takes 40, its answer included: ")


def test_progress_on_a_terminal(desk: Path) -> None:
    """One line that changes, with the time left of the whole run; results stay on standard output."""
    terminal, device = os.openpty()
    shown = bytearray()
    reader = threading.Thread(target=_read, args=(terminal, shown), daemon=True)
    reader.start()
    options = ("--minutes", 5, "--problems", 24, "--prompts", 4, "--group-size", 4, "--no-twin", "--out", "run")
    running = start("sharpen", "--model", "tiny", "--task", "digits", *options, cwd=desk, terminal=os.ttyname(device))
    running.until(lambda: b"train " in shown)
    time.sleep(1)
    running.send(signal.SIGKILL)
    running.finish()
    os.close(device)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    assert re.search(r"samples before \d+/384 · [45] min \d\d s left", text), text[-2000:]
    assert re.search(r"train \d+/\d+ · \d+ % right · \d+ min \d\d s left", text), text[-2000:]
    assert "before: 24/24 in " in text


def _read(terminal: int, shown: bytearray) -> None:
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            shown += chunk
