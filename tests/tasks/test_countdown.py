"""Countdown's parser and checker against Python's own arithmetic and a brute-force search."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.tasks.countdown import Countdown, ExpressionError, evaluate, solve
from whetstone.tasks.task import Problem, Verdict

Tree = int | tuple["Tree", str, "Tree"]
TREES = st.recursive(st.integers(1, 99), lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner), max_leaves=6)


def text_of(tree: Tree) -> str:
    return str(tree) if isinstance(tree, int) else f"({text_of(tree[0])} {tree[1]} {text_of(tree[2])})"


def value_of(tree: Tree) -> Fraction:
    if isinstance(tree, int):
        return Fraction(tree)
    left, right = value_of(tree[0]), value_of(tree[2])
    return {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}[tree[1]](right)


@given(TREES)
@settings(deadline=None)
def test_parser_is_exact(tree: Tree) -> None:
    try:
        wanted = value_of(tree)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            evaluate(text_of(tree))
        return
    assert evaluate(text_of(tree))[0] == wanted


@given(st.lists(st.integers(1, 99), min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_precedence_is_the_usual_one(numbers: list[int], data: st.DataObject) -> None:
    operators = [data.draw(st.sampled_from("+-*/")) for _ in numbers[1:]]
    text = str(numbers[0]) + "".join(f"{o}{n}" for o, n in zip(operators, numbers[1:], strict=True))
    exact = "".join(f"Fraction({part})" if part.isdigit() else part for part in _parts(text))
    assert evaluate(text) == (eval(exact, {"Fraction": Fraction}), numbers)


def _parts(text: str) -> list[str]:
    for operator in "+-*/":
        text = text.replace(operator, f" {operator} ")
    return text.split()


@given(st.text(alphabet="0123456789+-*/() .x^e", max_size=250))
@settings(deadline=None)
def test_parser_never_fails_otherwise(text: str) -> None:
    try:
        value, numbers = evaluate(text)
        assert isinstance(value, Fraction) and numbers
    except (ExpressionError, ZeroDivisionError):
        pass


@pytest.mark.parametrize("text", ["", "(" * 20 + "1" + ")" * 20, "1" * 7, "1+" * 100 + "1", "2**3", "1.5", "-3", "1 2"])
def test_parser_caps(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.integers(1, 60))
@settings(deadline=None, max_examples=60)
def test_checker_and_solver_agree_with_brute_force(numbers: list[int], target: int) -> None:
    problem, task = Problem("", {"numbers": numbers, "target": target}), Countdown()
    solvable = whole = False
    for (a, b, c), (p, q) in product(permutations(numbers), product("+-*/", repeat=2)):
        for tree in (((a, p, b), q, c), (a, p, (b, q, c))):
            try:
                right = value_of(tree) == target
            except ZeroDivisionError:
                right = False
            solvable |= right
            inner = tree[0] if isinstance(tree[0], tuple) else tree[2]
            whole |= right and value_of(inner).denominator == 1
            verdict = task.check(problem, f"The answer is {text_of(tree)}.")
            assert verdict is (Verdict.RIGHT if right else Verdict.WRONG), text_of(tree)
    solution = solve(numbers, target)
    assert (solution is not None) == whole <= solvable  # the solver takes whole steps only
    assert solution is None or task.check(problem, solution) is Verdict.RIGHT


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("3 * 7 + 8", Verdict.RIGHT),
        ("3 * 7 + 8 = 29", Verdict.RIGHT),
        ("29 = 8 + 3 * 7", Verdict.RIGHT),
        ("(3 × 7) + 8", Verdict.RIGHT),
        ("$3 \\times 7 + 8 = 29$", Verdict.RIGHT),
        ("`3*7+8`", Verdict.RIGHT),
        ("Sure! \\boxed{3*7+8}", Verdict.RIGHT),
        ("3 * 7 + 8 = 30", Verdict.WRONG),
        ("3 * 8 + 7", Verdict.WRONG),
        ("30 - 1", Verdict.WRONG),
        ("3 * 7 + 8 + 3 - 3", Verdict.WRONG),
        ("3 / (7 - 7) + 8", Verdict.WRONG),
        ("29", Verdict.NO_ANSWER),
        ("3 * 7 + 8 or 8 + 7 * 3", Verdict.NO_ANSWER),
        ("-3 * 7 + 8", Verdict.NO_ANSWER),
        ("3 * 7 + 8x", Verdict.NO_ANSWER),
        ("3 * 7 + 8!", Verdict.NO_ANSWER),
        ("(3 * 7 + 8", Verdict.NO_ANSWER),
        ("3 ** 7 + 8", Verdict.NO_ANSWER),
    ],
)
def test_cases(text: str, verdict: Verdict) -> None:
    assert Countdown().check(Problem("", {"numbers": [3, 7, 8], "target": 29}), text) is verdict
