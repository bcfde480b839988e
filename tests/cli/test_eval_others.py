"""`whet eval` on other people's tasks, and what it writes for other people's tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.process import whet
from tests.tiny import tiny_folder

CHOICES = [
    {"question": "Which lays eggs?", "choices": ["a dog", "a hen"], "answer": "B"},
    {"question": "Water turns into ice when", "choices": ["cooled", "heated"], "answer": "A"},
    {"question": "Which is a planet?", "choices": ["Mars", "the Moon", "the Sun"], "answer": 0},
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    tiny_folder(folder / "tiny")
    (folder / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHOICES))
    return folder


def test_choices_by_likelihood(desk: Path) -> None:
    said = whet(
        *("eval", "tiny", "--task", "choices.jsonl", "--samples-out", "rows.jsonl"),
        *("--export", "lm-eval=out", "--export", "inspect=logs"),
        cwd=desk,
    )
    assert said.code == 0, said.err
    first, second, third, note, looks, *written = said.out.splitlines()
    assert looks.startswith("look ")
    assert first.startswith("choices.jsonl: ") and first.endswith("3 problems)")
    assert second.startswith("by log-probability per character (acc_norm): ") and third.startswith("verdicts: ")
    assert note == (
        "note: 3 of the file's 3 items, chosen by the seed; fixed items: nothing keeps them out of training"
    )
    assert len(written) == 4 and all((desk / line.removeprefix("written: ")).is_file() for line in written)
    rows = [json.loads(line) for line in (desk / "rows.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [row["question"] for row in CHOICES]
    found = json.loads(whet("eval", "tiny", "--task", "choices.jsonl", "--json", cwd=desk).out)
    assert "rows" not in found and found["verdicts"]["right"] == sum(row["verdict"] == "right" for row in rows)


def test_the_list_of_generators_needs_no_model(desk: Path) -> None:
    said = whet("eval", "--task", "gym:?", cwd=desk)
    assert said.code == 0 and said.out.startswith("73 generators, with the form of the answer:")
    assert "\n  gym:chain_sum                  integer\n" in said.out
    assert "gym:codeio" in said.out and "it is not deterministic" in said.out


def test_a_generator_is_a_task(desk: Path) -> None:
    pytest.importorskip("reasoning_gym")
    command = ("eval", "tiny", "--task", "gym:chain_sum", "--level", 1, "--n", 5, "--json")
    found = json.loads(whet(*command, cwd=desk).out)
    assert found["task"] == "gym:chain_sum" and found["accuracy"]["n"] == 5 and found["seed_shared"]
    again = json.loads(whet(*command, cwd=desk).out)
    assert again.pop("looks") and found.pop("looks") and again == found


def test_mistakes_are_said_before_anything_is_asked(desk: Path) -> None:
    (desk / "bad.jsonl").write_text('{"question": "a", "answer": "1"}\n{"question": "b"}\n')
    for arguments, message in (
        (("--task", "gym:jugs"), "gym:jugs is refused, because no exact judgement is known: many sequences of moves"),
        (("--task", "bad.jsonl"), "bad.jsonl: row 2: its answer must be a text, not 'None'"),
        (("--task", "choices.jsonl", "--export", "csv=x"), "unknown format 'csv'; choose one of lm-eval, inspect"),
        (("--task", "choices.jsonl", "--level", 2), "fixed items, which have no level: leave out --level"),
        (("--task", "absent.jsonl"), "there is no file absent.jsonl"),
    ):
        said = whet("eval", "tiny", *arguments, cwd=desk)
        assert said.code == 2 and message in said.err and said.out == "" and "answers 0" not in said.err, arguments


def test_training_on_a_file_is_refused(desk: Path) -> None:
    said = whet("sharpen", "--model", "tiny", "--task", "choices.jsonl", "--out", "run", cwd=desk)
    assert said.code == 2 and "choices.jsonl holds fixed items: nothing keeps them out of training" in said.err
    assert said.err.count("\n") == 1 or "whet:" in said.err.splitlines()[-1]
