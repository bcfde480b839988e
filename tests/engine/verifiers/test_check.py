"""The question's own check: where it may choose, and where it may not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.strategies.asking import KEY, sums, tiny_backend
from whetstone.engine.protocol import Completion, Request
from whetstone.engine.samples import Pool
from whetstone.engine.strategies.names import Tools, strategy_of
from whetstone.engine.strategies.questions import question_of
from whetstone.engine.strategies.run import run
from whetstone.engine.strategies.strategy import Candidate
from whetstone.engine.verifiers import free_verifiers
from whetstone.engine.verifiers.check import Check
from whetstone.errors import UsageError
from whetstone.tasks import forms
from whetstone.tasks.gym.table import SUPPORTED
from whetstone.tasks.keys import Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.task import Verdict

BOARD = "_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q _"
SUDOKU = "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1"


def said(text: str, check: object) -> Candidate:
    return Candidate(Request((1,), (0,)), Completion((2,), (-1.0,), "stop", 0), text, text, check)  # type: ignore[arg-type]


def test_it_takes_what_the_task_takes() -> None:
    task = load_task("countdown")
    problem = Stream(task, KEY, "eval", 1).problem(0)
    question = question_of(task, problem, [task.styles()["only"]], KEY)
    right = task.answer(problem)
    assert right is not None and question.check is not None
    scores = Check().score([said(right, question.check), said("1 + 1", question.check), said("?", question.check)])
    assert scores.values == (1.0, 0.0, 0.0) and scores.tokens == 0


def test_it_refuses_where_the_judge_knows_the_answer() -> None:
    backend = tiny_backend()
    strategy = strategy_of("best-3:by=check", Tools(free_verifiers()))
    with pytest.raises(UsageError, match="cannot be checked from the question alone"):
        run(strategy, sums(1), backend, Pool(backend.sampler, "tiny"))


def test_which_tasks_may_be_checked() -> None:
    """A judge that compares with the answer is none: it would make best-of-n pass@n, and a lie."""
    assert [name for name, task in BUILTIN.items() if task.verifiable] == ["countdown"]
    checked = sorted(name for name, generator in SUPPORTED.items() if generator.verifiable)
    assert checked == ["countdown", "mini_sudoku", "n_queens", "puzzle24", "sudoku"]


@pytest.mark.parametrize(
    ("judge", "details", "right", "wrong"),
    [
        (forms.expression, {"numbers": [2, 3, 4], "target": 20}, "(2 + 3) * 4", "2 + 3 * 4"),
        (forms.expression, {"numbers": [4, 6]}, "4 * 6", "4 + 6"),
        (forms.queens, {"puzzle": [["_"] * 4 for _ in range(4)]}, BOARD, BOARD.replace("Q", "_", 1)),
        (forms.sudoku, {"puzzle": [[1, 0, 0, 0], *[[0] * 4 for _ in range(3)]]}, SUDOKU, SUDOKU.replace("3", "2", 1)),
    ],
)
def test_a_checkable_judge_never_looks_at_the_gold_answer(
    judge: forms.FormJudge, details: dict[str, Any], right: str, wrong: str
) -> None:
    assert any(generator.judge is judge and generator.verifiable for generator in SUPPORTED.values())
    for gold in (right, wrong, "nonsense"):
        assert judge(right, gold, details) is Verdict.RIGHT
        assert judge(wrong, gold, details) is Verdict.WRONG
