"""The audit of a task's judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whetstone.errors import UsageError
from whetstone.evals.judge_audit import EXAMPLES, audit_judge

CARELESS = """
from whetstone import Problem, Task

class Careless(Task):
    levels = (1, 2)
    def sample(self, seed, level):
        number = int.from_bytes(seed[:4], "big") % 1000
        return Problem(f"What is {number} + {level}?", {"gold": str(number + level)})
    def check(self, problem, text):
        if any("\\u0660" <= letter <= "\\u0669" for letter in text):
            raise ValueError("digits")
        return problem.facts["gold"] in text
    def answer(self, problem):
        return problem.facts["gold"]

class Open(Careless):
    answer = Task.answer
"""


def test_a_sound_judge_is_not_fooled() -> None:
    told: list[tuple[int, int]] = []
    result = audit_judge("gcd", 1, 2, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    assert (result["task"], result["level"], result["problems"], result["knows_answer"]) == ("gcd", 1, 2, True)
    assert result["answers"] >= 2000 and result["seconds"] > 0
    assert [group for group in result["findings"] if group["trouble"] != "slow"] == []
    json.dumps(result, allow_nan=False)


def test_a_careless_judge_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CARELESS)
    result = audit_judge(f"{tmp_path}/mine.py:Careless", n=2)
    assert result["level"] == 2, "the default"
    found = {(group["kind"], group["trouble"]): group for group in result["findings"]}
    assert {("altered", "right"), ("two answers", "right"), ("shotgun", "right")} <= set(found)
    assert any(trouble == "error" for _, trouble in found)
    assert result["found"] == sum(group["count"] for group in result["findings"])
    counts = [group["count"] for group in result["findings"]]
    assert counts == sorted(counts, reverse=True) and counts[0] > EXAMPLES
    for group in result["findings"]:
        assert 0 < len(group["examples"]) <= min(EXAMPLES, group["count"])
    example = found["altered", "right"]["examples"][0]
    assert example["gold"] in example["text"] and example["verdict"] == "right" and len(example["problem"]) == 32
    json.dumps(result, allow_nan=False)


def test_a_task_that_knows_no_answer_has_a_smaller_bank(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CARELESS)
    result = audit_judge(f"{tmp_path}/mine.py:Open", 1, 1)
    assert not result["knows_answer"] and 200 < result["answers"] < 1000


def test_a_file_of_items(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps({"question": f"{i} + 1?", "answer": str(i + 1)}) + "\n" for i in range(20, 23)))
    result = audit_judge(str(path), n=2)
    assert result["problems"] == 2 and result["knows_answer"]
    assert [group for group in result["findings"] if group["trouble"] != "slow"] == []
    with pytest.raises(UsageError, match="holds fixed items"):
        audit_judge(str(path), 3, 2)


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="--n must be at least 1"):
        audit_judge("gcd", n=0)
    with pytest.raises(UsageError, match="has no level 99"):
        audit_judge("gcd", 99)
    with pytest.raises(UsageError, match="unknown task"):
        audit_judge("gdc")
