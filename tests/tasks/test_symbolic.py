"""`judge_symbolic`: the traps that published verifiers fall into, hangs, crashes, and what it must accept."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.errors import UsageError
from whetstone.tasks import symbolic
from whetstone.tasks.segments import MAX_TEXT
from whetstone.tasks.symbolic import SymbolicJudge, judge_symbolic
from whetstone.tasks.task import Verdict
from whetstone.tasks.written_form import Form

RIGHT, WRONG, NO_ANSWER = Verdict.RIGHT, Verdict.WRONG, Verdict.NO_ANSWER


@pytest.fixture(scope="module")
def judge() -> Iterator[SymbolicJudge]:
    judge = SymbolicJudge()
    yield judge
    judge.close()


# Each of these was seen to fool a published verifier, or is its neighbour.
TRAPS = [
    ("2^-98", "2^-99", WRONG),
    ("2^{-99}", "2^-99", RIGHT),
    ("1/2006!", "1/2004!", WRONG),
    ("41, 42", "42", NO_ANSWER),
    ("41 or 42", "42", NO_ANSWER),
    ("3x + 4y + 14 = 0", "3x*1-1*y+13=0", WRONG),
    ("y = 3x + 13", "3x*1-1*y+13=0", RIGHT),
    ("6x - 2y + 26 = 0", "3x - y + 13 = 0", RIGHT),
    ("0 = 0", "3x - y + 13 = 0", NO_ANSWER),
    ("x - x = y - y", "3x - y + 13 = 0", Verdict.ERROR),
    ("0.50000004", "1/2", WRONG),
    ("0.5", "1/2", RIGHT),
    ("1,3,5,\\ldots,2n-1", "1,2,n", NO_ANSWER),
    ("1, 3, 5", "1, 2, 3", WRONG),
    ("3, 2, 1", "1, 2, 3", WRONG),
    ("pi/2", "\\frac{\\pi}{2}", RIGHT),
    ("exp(16)-1", "e^{16} - 1", RIGHT),
    ("90°", "\\pi/2", RIGHT),
    ("$90^\\circ$", "\\pi/2", RIGHT),
    ("pi + 10^-150", "pi", WRONG),
    ("pi * 2^-98", "2^{-99} * pi", WRONG),
    ("sqrt(2) + 1e-9", "sqrt(2)", NO_ANSWER),
    ("1.5707963267948966", "pi/2", WRONG),
    ("3.14", "pi", WRONG),
    ("22/7", "pi", WRONG),
    ("X^2", "x^2", WRONG),
    ("y^2", "x^2", WRONG),
    ("x^2", "y = x^2", WRONG),
    ("(1, 2)", "(1, 2]", WRONG),
    ("[1, 2)", "(1, 2]", WRONG),
    ("\\{2, 1\\}", "\\{1, 2\\}", RIGHT),
    ("(2, 1)", "(1, 2)", WRONG),
    ("x > 3", "x < 3", WRONG),
    ("3 > x", "x < 3", RIGHT),
    ("x <= 3", "x < 3", WRONG),
    ("-x < -3", "x < 3", WRONG),
    ("sqrt(x^2)", "x", WRONG),
    ("x", "sqrt(x^2)", WRONG),
    ("|x|", "sqrt(x^2)", RIGHT),
    ("ln(x^2)", "2 ln x", RIGHT),  # where the gold one is real
    ("2 ln x", "ln(x^2)", WRONG),  # it has no value where the gold one has
    ("x^2/x", "x", RIGHT),
    ("x/0", "x", NO_ANSWER),
    ("1/2x", "x/2", NO_ANSWER),
    ("28 + 14", "42", NO_ANSWER),  # the question again
    ("42", "42", RIGHT),
    ("42.0", "42", RIGHT),
    ("\\boxed{42}", "42", RIGHT),
    ("$x = \\pi = 2\\pi$", "2\\pi", NO_ANSWER),
    ("\\pi = 2\\pi", "2\\pi", NO_ANSWER),
    ("It is pi. No, it is 2pi.", "2pi", NO_ANSWER),
    ("1) $\\pi$\n2) $2\\pi$", "2pi", NO_ANSWER),
    ("$\\pi$ and $2\\pi$", "2pi", NO_ANSWER),
    ("The answer is not $\\pi$.", "pi", NO_ANSWER),
    ("The answer is two $\\pi$.", "pi", NO_ANSWER),
    ("The answer is $\\pi$ over 2.", "pi", NO_ANSWER),
    ("$\\pi$/2", "pi", NO_ANSWER),
    ("half of pi", "pi", NO_ANSWER),
    ("approximately $\\pi$", "pi", NO_ANSWER),
    ("$\\pi$ degrees", "pi", NO_ANSWER),
    ("", "pi", NO_ANSWER),
    ("x" * 1_000_000, "pi", NO_ANSWER),
    ("(" * 10_000, "pi", NO_ANSWER),
    ("e^{e^{e^{e^{9}}}}", "pi", NO_ANSWER),
    ("9^9^9^9^9", "pi", NO_ANSWER),
]


@pytest.mark.parametrize(("text", "gold", "verdict"), TRAPS)
def test_traps(judge: SymbolicJudge, text: str, gold: str, verdict: Verdict) -> None:
    assert judge(text, gold) is verdict


SAID = [
    "{}", "${}$", "$${}$$", "\\[{}\\]", "\\({}\\)", "\\boxed{{{}}}", "The answer is {}.", "The answer is ${}$.",
    "Answer: {}", "**Answer:** ${}$", "The final answer is $\\boxed{{{}}}$.", "<answer>{}</answer>", "= {}", "$= {}$",
    "So we get\n\\[ {} \\]", "The result is {}.", "It simplifies to {}", "f(x) = {}", "$f(x) = {}$", "Therefore, ${}$.",
    "The derivative of $g$ is ${}$.", "Sure! The answer is ${}$. I hope this helps!", "y = {}", "`{}`",
]  # fmt: skip
EQUAL = [
    ("\\frac{\\pi}{2}", "pi/2"), ("2\\sqrt{3}", "\\sqrt{12}"), ("(x+1)^2", "x^2+2x+1"), ("e^{2x}", "(e^x)^2"),
    ("\\frac{\\sqrt{2}}{2}", "1/\\sqrt{2}"), ("\\cos(2x)", "\\cos^2 x - \\sin^2 x"),
    ("\\sqrt{2}+\\sqrt{3}", "\\sqrt{5+2\\sqrt{6}}"),
]  # fmt: skip


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(("shown", "gold"), EQUAL)
def test_the_ways_models_say_it(judge: SymbolicJudge, said: str, shown: str, gold: str) -> None:
    assert judge(said.format(shown), gold) is RIGHT
    assert judge(said.format(f"{shown} + 1"), gold) is WRONG
    assert judge(said.format(f"{shown}") + " or " + said.format(f"{shown} + 1"), gold) is NO_ANSWER


def test_identities_are_proved_and_near_misses_refuted(judge: SymbolicJudge) -> None:
    same = [
        ("\\arcsin x + \\arccos x", "\\pi/2"), ("\\sinh x", "(e^x-e^{-x})/2"), ("1/(x-1) - 1/(x+1)", "2/(x^2-1)"),
        ("\\tan^{-1}(1)", "\\pi/4"), ("e^{i\\pi}", "-1 + 0\\pi"), ("\\log_2 8", "3 + 0\\pi"), ("(2+i)(2-i)", "5+0i"),
        ("\\sqrt[3]{-\\pi}", "-\\sqrt[3]{\\pi}"), ("\\cos(\\pi/12)", "(\\sqrt{6}+\\sqrt{2})/4"), ("a b", "b a"),
    ]  # fmt: skip
    for one, other in same:
        assert judge(one, other) is RIGHT, (one, other)
        assert judge(other, one) is RIGHT, (one, other)
        assert judge(f"{one} + 10^{{-60}}", other) is WRONG, (one, other)


@pytest.mark.parametrize(
    ("form", "gold", "right", "wrong"),
    [
        ("expanded", "x^2 + 2x + 1", ["x^2 + 2x + 1", "1 + 2x + x^2", "(x+1)^2 = x^2 + 2x + 1", "2x + x^2 + 1"],
         ["(x+1)^2", "(x+1)(x+1)", "x(x+2) + 1", "x^2 + x + x + 1", "x^2 + 2(x + 1) - 1", "x^2 + 2x"]),
        ("expanded", "x^2 + x - 6", ["x^2+x-6"], ["(x-2)(x+3)", "(x+3)(x-2)", "-(6-x-x^2)"]),
        ("factored", "(x-3)(x+3)", ["(x+3)(x-3)", "$(x-3)(x+3)$", "-(3-x)(x+3)"], ["x^2 - 9", "1(x^2-9)", "(x^2-9)"]),
        ("factored", "(x-1)^2 (x+2)", ["(x+2)(x-1)(x-1)", "(x-1)^2(x+2)"], ["(x^2-2x+1)(x+2)", "x^3 - 3x + 2"]),
        ("any", "x^2 + 2x + 1", ["(x+1)^2"], ["x^2"]),
    ],
)  # fmt: skip
def test_a_form_that_was_asked_for(
    judge: SymbolicJudge, form: Form, gold: str, right: list[str], wrong: list[str]
) -> None:
    for text in right:
        assert judge(text, gold, form) is RIGHT, text
    for text in wrong:
        assert judge(text, gold, form) is WRONG, text


SLOW = "(a+b+c+d)^{59}(a+b) + (a+b+c+d)^{59}(c+d) - \\sin(a)", "(a+b+c+d)^{60} - \\sin(a)"


def test_a_hang_is_a_timeout_and_the_next_call_works() -> None:
    judge = SymbolicJudge(seconds=1.0)
    try:
        assert judge(*SLOW) is Verdict.TIMEOUT
        assert "longer than 1 s" in judge.last_error
        judge.seconds = 30.0
        assert judge("\\frac{2\\pi}{4}", "pi/2") is RIGHT
    finally:
        judge.close()


def test_a_crash_and_a_lack_of_memory_are_errors() -> None:
    judge = SymbolicJudge()
    try:
        judge._worker.command = [sys.executable, "-c", "import os; os._exit(3)"]
        assert judge("\\frac{2\\pi}{4}", "pi/2") is Verdict.ERROR
        assert "exit code 3" in judge.last_error
    finally:
        judge.close()
    judge = SymbolicJudge(seconds=60.0, memory=2**20)  # less than sympy takes up already: nothing more is given
    try:
        assert judge(*SLOW) is Verdict.ERROR
        assert judge.last_error
    finally:
        judge.close()


def test_works_from_threads_with_one_child(judge: SymbolicJudge) -> None:
    judge("2 x y", "x y")
    process = judge._worker._process
    verdicts: list[Verdict] = []
    threads = [
        threading.Thread(target=lambda n=n: verdicts.append(judge(f"{n} x + \\pi", f"\\pi + x*{n}")))
        for n in range(2, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [RIGHT] * 8
    assert judge._worker._process is process


def test_many_calls_use_one_child(judge: SymbolicJudge) -> None:
    judge("2 x y", "x y")
    process = judge._worker._process
    for n in range(50):
        assert judge(f"{n + 2} x + \\pi", f"\\pi + x*{n + 2}") is RIGHT
    assert judge._worker._process is process


PIECES = st.sampled_from(
    ["$", "$$", "\\(", "\\)", "\\[", "\\]", "`", "\\boxed{", "}", "{", "(", ")", "\\frac{", "x", "2", "pi", "^", "=",
    "is ", "or ",
     ". ", "\n", "answer ", "answer: ", "<answer>", "</answer>", "so ", "the ", "- ", "+", "/", ",", " ", "\\text{",
     "not ", "|", "e^", "!", "[", "\\{", "int ", "which ", "1) ", "d/dx", "f(x)"]
)  # fmt: skip


@given(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from(["\\pi/7", "y = 7x", "(7, \\pi]"]))
@settings(deadline=None, max_examples=60)
def test_time_is_linear_and_nothing_is_raised(pieces: list[str], gold: str) -> None:
    """The longest text made of any repeated piece is read in a few seconds at most."""
    unit = "".join(pieces)
    text = (unit * (MAX_TEXT // len(unit)))[:MAX_TEXT]
    started = time.process_time()
    assert judge_symbolic(text, gold) in (WRONG, NO_ANSWER)
    assert judge_symbolic(unit, gold) in (WRONG, NO_ANSWER)
    assert time.process_time() - started < 2.5


def test_a_number_is_judged_without_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = SymbolicJudge()
    monkeypatch.setattr(judge._worker, "call", lambda *_: pytest.fail("math-verify was asked"))
    for text in ("42", "41, 42", "sqrt(1764)", "\\sin(\\pi/2)", "42 + 0", "42x", "\\frac{84}{2}"):
        assert judge(text, "42") is (RIGHT if text in ("42", "\\frac{84}{2}") else NO_ANSWER)
    for text in ("1/512", "2^-9", "0.001953125"):
        assert judge(text, "2^{-9}") is RIGHT
    assert judge("2^-8", "2^{-9}") is WRONG


@pytest.mark.parametrize(
    "gold", ["", "the", "1/2x", "1/0", "x if y else z", "1 = 1", "1, ..., n", "x" * 500, "9^9^9^9"]
)
def test_a_gold_answer_that_cannot_be_read_is_a_mistake_of_the_task(judge: SymbolicJudge, gold: str) -> None:
    with pytest.raises(UsageError, match="the gold answer"):
        judge("x", gold)


def test_an_unknown_form_is_a_mistake_of_the_task(judge: SymbolicJudge) -> None:
    with pytest.raises(UsageError, match="no form 'reduced'"):
        judge("x", "x", "reduced")  # type: ignore[arg-type]


def test_without_math_verify_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "math_verify" else found(name, *rest)
    )
    monkeypatch.setattr(symbolic, "_shared", None)
    with pytest.raises(UsageError, match=r"pip install 'whetstone-lab\[symbolic\]'"):
        judge_symbolic("x", "x")
