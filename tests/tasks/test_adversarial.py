"""The adversarial bank against every built-in task and every judge; nothing in it is executed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from whetstone.tasks.adversarial import attack, bank
from whetstone.tasks.answers import judge_fraction, judge_integer, judge_integers, judge_text, judge_words
from whetstone.tasks.hostile import BULK, CODE, EMPTY, INJECTIONS
from whetstone.tasks.keys import Partition, Stream
from whetstone.tasks.registry import BUILTIN, load_task
from whetstone.tasks.symbolic import judge_symbolic
from whetstone.tasks.task import Problem, Task, Verdict

JUDGES: dict[str, Callable[[str], Verdict]] = {
    "integer": lambda text: judge_integer(text, 4917),
    "fraction": lambda text: judge_fraction(text, Fraction(4917, 7)),
    "integers": lambda text: judge_integers(text, [4917, 7]),
    "words": lambda text: judge_words(text, ["quince", "marble"]),
    "text": lambda text: judge_text(text, "quince marble"),
    "symbolic": lambda text: judge_symbolic(text, "\\frac{4917\\pi}{7}"),
    "relation": lambda text: judge_symbolic(text, "y = 4917x + 7"),
    "interval": lambda text: judge_symbolic(text, "(4917, \\pi]"),
}


def drawn(task: Task) -> Problem:
    if not isinstance(task, tuple(BUILTIN.values())):
        return task.identified(task.sample(b"", 1), 1)
    return Stream(task, b"adversarial", "train", task.default_level, Partition(b"p")).problem(0)


@pytest.mark.parametrize("name", BUILTIN)
def test_no_answer_of_the_bank_is_right(name: str) -> None:
    task = load_task(name)
    problem = drawn(task)
    gold = task.answer(problem)
    assert gold is not None and task.check(problem, gold) is Verdict.RIGHT
    texts = [hostile.text for hostile in bank(task, problem)]
    assert len(set(texts)) == len(texts) >= 1000
    assert attack(task, problem, slow=5.0) == []


@pytest.mark.parametrize("judge", JUDGES)
def test_texts_that_fit_any_question_are_never_right(judge: str) -> None:
    for text in (*EMPTY, *CODE, *INJECTIONS, *BULK):
        assert JUDGES[judge](text) in (Verdict.WRONG, Verdict.NO_ANSWER), text[:100]


@pytest.mark.parametrize("name", BUILTIN)
def test_echoing_the_question_is_never_right(name: str) -> None:
    task = load_task(name)
    for level in task.levels:
        for problem in Stream(task, b"echo", "train", level, Partition(b"p")).take(20, distinct=False):
            prompts = [style.messages(task, problem)[-1]["content"] for style in task.styles().values()]
            for text in (problem.question, *prompts):
                assert task.check(problem, text) in (Verdict.WRONG, Verdict.NO_ANSWER), (problem, text)


class Formula(Task):
    """Level n: the area of a circle, judged as a formula."""

    def sample(self, seed: bytes, level: int) -> Problem:
        return Problem("What is the area of a circle of radius 3?", {})

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_symbolic(text, "9\\pi")

    def answer(self, problem: Problem) -> str:
        return "9\\pi"


def test_the_bank_against_formulas() -> None:
    assert attack(Formula(), drawn(Formula()), slow=5.0) == []


class Careless(Task):
    """Right where the gold answer stands anywhere; raises on digits of other scripts; slow on long texts."""

    def sample(self, seed: bytes, level: int) -> Problem:
        return Problem("What is 20 + 29?", {"gold": "49"})

    def check(self, problem: Problem, text: str) -> Verdict:
        if "\u0664" in text:
            raise ValueError("digits")
        if len(text) > 500_000:
            time.sleep(0.05)
        return Verdict.RIGHT if "49" in text else Verdict.TIMEOUT if text == "gold" else Verdict.WRONG

    def answer(self, problem: Problem) -> str:
        return "49"


def test_a_careless_judge_is_found_out() -> None:
    findings = attack(Careless(), drawn(Careless()), slow=0.04)
    troubles = {finding.trouble for finding in findings}
    assert troubles == {"right", "error", "timeout", "slow"}
    assert {"two answers", "altered", "shotgun", "format"} <= {f.kind for f in findings if f.trouble == "right"}
    assert all(len(finding.text) <= 200 for finding in findings)


def test_without_a_gold_answer_the_bank_is_smaller_but_there() -> None:
    class Open(Careless):
        def answer(self, problem: Problem) -> None:  # type: ignore[override]
            return None

    kinds = {hostile.kind for hostile in bank(Open(), drawn(Open()))}
    assert kinds == {"empty", "code", "injection", "bulk", "echo"}


CANARY = """
import os, socket, sys
from pathlib import Path
mark = Path(sys.argv[1])
touched = []
def watch(event, arguments):  # the interpreter reports what code asks of it, wherever the code came from
    if event in ("os.system", "subprocess.Popen", "socket.connect"):
        touched.append(event)
    if event == "open" and str(mark) in str(arguments[0]):
        touched.append(event)
    if event == "compile" and arguments[0] is not None and b"canary" in (
        arguments[0] if isinstance(arguments[0], bytes) else str(arguments[0]).encode()
    ):
        touched.append(event)
from tests.tasks.test_adversarial import JUDGES, drawn
from whetstone.tasks.registry import BUILTIN, load_task
JUDGES["symbolic"]("\\\\frac{9834\\\\pi}{14}")  # starts the child, which is a Popen of our own
tasks = [load_task(name) for name in BUILTIN]
problems = [drawn(task) for task in tasks]
sys.addaudithook(watch)
act = f"__import__('pathlib').Path('{mark}').write_text('canary')"
net = "__import__('socket').create_connection(('127.0.0.1', 9), 1) or 'canary'"
texts = []
for code in (act, net, f"__import__('os').system('touch {mark}')", f"open('{mark}','w').write('canary')"):
    texts += [code, f"eval({code!r})", f"exec({code!r})", f"$({code})$", f"\\\\boxed{{{code}}}", f"Answer: {code}",
              f"<answer>{code}</answer>", f"The answer is {code}.", f"[{code}]", f"f({code})", f"x = {code}",
              f"lambda: {code}", f"({code}, 1)", f"sin({code})", f"\\\\frac{{{code}}}{{2}}", f"{{{{ {code} }}}}",
              f"Symbol({code!r})", f"sympify({code!r})", f"9 * ({code})", f"`{code}`", f"```python\\n{code}\\n```"]
for text in texts:
    for judge in JUDGES.values():
        assert judge(text) in ("wrong", "no_answer"), text
    for task, problem in zip(tasks, problems):
        assert task.check(problem, text) in ("wrong", "no_answer"), text
        task.final_answer(text)
assert not touched, touched
assert not mark.exists()
eval("1  # canary")  # the hook would have seen it
assert touched == ["compile"]
print("quiet", len(texts))
"""


def test_an_answer_that_would_act_if_it_were_run_does_nothing(tmp_path: Path) -> None:
    """An audit hook sees every file, socket, process and compilation in the process that judges; the file would also
    show what the child did.
    """
    mark = tmp_path / "canary"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", CANARY, str(mark)], capture_output=True, text=True, cwd=root, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.startswith("quiet")
    assert not mark.exists()
