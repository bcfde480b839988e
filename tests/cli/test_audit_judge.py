"""`whet audit judge`: a judge that can be fooled is found out, a sound one is not."""

from pathlib import Path

from tests.cli.process import whet

FOOLED = """
import random
import whetstone as wh


class Fooled(wh.Task):
    def sample(self, seed, level):
        n = random.Random(seed).randrange(1000, 10_000)
        return wh.Problem(f"What is twice {n}?", {"n": n})

    def answer(self, problem):
        return str(2 * problem.facts["n"])

    def check(self, problem, text):
        return self.answer(problem) in text
"""


def test_a_judge_that_looks_for_the_answer_anywhere_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FOOLED)
    said = whet("audit", "judge", "--task", "mine.py:Fooled", "--n", 1, cwd=tmp_path)
    assert said.code == 1
    assert "hostile answers to 1 problems" in said.out and " right (" in said.out


def test_a_sound_judge_passes(tmp_path: Path) -> None:
    said = whet("audit", "judge", "--task", "addition", "--n", 1, cwd=tmp_path)
    assert said.code == 0
    assert said.out.splitlines()[-1] == "none was judged right, hung or failed"
