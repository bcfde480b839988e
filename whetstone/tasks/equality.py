"""Whether two formulas are equal: the child process behind `judge_symbolic`. It gets trees, never text.

sympy objects are built from the trees by a fixed table, so no text of a model reaches a parser of sympy or of
math-verify. "Equal" needs two witnesses: high-precision arithmetic at several points must fail to tell the formulas
apart, and then sympy or math-verify must say that they are the same. math-verify alone compares to 15 digits, which
takes 2^-98 for 2^-99; arithmetic alone proves nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath
import sympy
from math_verify import verify

from whetstone.sandbox.worker import serve
from whetstone.tasks.exact import measure
from whetstone.tasks.formula import Tree, variables

POINTS = 6  # where formulas with variables are compared
TRIES = 40
MAX_MAGNITUDE = 3_000  # decimal exponent of anything that occurs

EQUAL, DIFFERENT, UNDECIDED, TOO_LARGE = "equal", "different", "undecided", "too large"

_MP = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "cot": mpmath.cot, "sec": mpmath.sec, "csc": mpmath.csc,
    "arcsin": mpmath.asin, "arccos": mpmath.acos, "arctan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh,
    "tanh": mpmath.tanh, "ln": mpmath.log, "abs": abs,
}  # fmt: skip
_SYMPY = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "arcsin": sympy.asin, "arccos": sympy.acos, "arctan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh,
    "tanh": sympy.tanh, "ln": sympy.log, "abs": sympy.Abs,
}  # fmt: skip
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}

Point = dict[str, tuple[int, int]]  # a variable's value as a fraction


class _Undefined(Exception):
    """No finite value here."""


class _TooLarge(Exception):
    """The answer has values with more than MAX_MAGNITUDE digits."""


def compare(gold: Sequence[Any], answer: Sequence[Any]) -> str:
    """Whether two expressions are equal wherever the gold one is real (or, where it is never real, finite)."""
    left, right = _tree(gold), _tree(answer)
    try:
        sampled = _Sampled(left, right)
    except _TooLarge:
        return TOO_LARGE
    if sampled.torn or any(sampled.apart(a, b) for a, b in sampled.pairs):
        return DIFFERENT
    if not sampled.pairs:
        return UNDECIDED
    return EQUAL if _confirmed(left, right, sampled.positive) else UNDECIDED


def compare_relations(operator: str, gold: Sequence[Any], answer: Sequence[Any]) -> str:
    """Whether `gold` OP 0 and `answer` OP 0 say the same: one is a constant multiple of the other, a positive one for
    an inequality, and neither is zero everywhere.
    """
    left, right = _tree(gold), _tree(answer)
    try:
        sampled = _Sampled(left, right)
    except _TooLarge:
        return TOO_LARGE
    if sampled.torn:
        return DIFFERENT
    first = max(sampled.pairs, key=lambda pair: min(map(abs, pair)), default=None)
    if first is None or len(sampled.pairs) < POINTS or min(map(abs, first)) <= sampled.tolerance:
        return UNDECIDED  # "0 = 0" says nothing
    ratio = first[0] / first[1]
    if any(sampled.apart(a, ratio * b) for a, b in sampled.pairs):
        return DIFFERENT
    if operator != "=" and not (mpmath.im(ratio) == 0 and mpmath.re(ratio) > 0):
        return DIFFERENT
    quotient = sympy.simplify(_build(left, sampled.positive) / _build(right, sampled.positive))
    return EQUAL if not quotient.free_symbols else UNDECIDED


class _Sampled:
    """Both formulas at the same points, with enough digits that a difference they can express would show.

    Working digits W = 3 (size + magnitude) + 100: values have at most `magnitude` digits in front of the point, so
    rounding stays below 10^(magnitude - W); what is below 10^-(2 (size + magnitude) + 70) counts as nothing.
    `torn`: the gold formula has a value somewhere that the answer has none.
    """

    def __init__(self, left: Tree, right: Tree) -> None:
        self.pairs: list[tuple[Any, Any]] = []
        self.torn = False
        points, self.positive = _points(left, sorted(variables(left) | variables(right)))
        with mpmath.workdps(30):
            places = [_numbers(point) for point in points]
            magnitude = max((_magnitude(left, place) for place in places), default=0)
            try:
                magnitude = max([magnitude, *(_magnitude(right, place) for place in places)])
            except OverflowError as error:
                raise _TooLarge from error
        room = measure(left)[0] + measure(right)[0] + magnitude
        mpmath.mp.dps = 3 * room + 100
        self.tolerance = mpmath.mpf(10) ** -(2 * room + 70)
        for place in map(_numbers, points):
            try:
                self.pairs.append((_value(left, place), _value(right, place)))
            except _Undefined:
                self.torn = True

    def apart(self, a: Any, b: Any) -> bool:
        """Whether two values differ by more than rounding can explain."""
        return bool(abs(a - b) > self.tolerance)


def _points(gold: Tree, names: list[str]) -> tuple[list[Point], bool]:
    """Rational points at which the gold formula is real, else finite; and whether they are all positive because it is
    not real elsewhere. One empty point for a formula without variables.
    """
    rng = random.Random(0)
    with mpmath.workdps(30):
        if not names:
            return ([{}] if _finite(gold, {}) is not None else []), False
        fallback: list[Point] = []
        for signs in ((-1, 1), (1,)):
            found: list[Point] = []
            rejected = 0
            for _ in range(TRIES):
                point = {name: (rng.choice(signs) * rng.randint(100, 3000), 997) for name in names}
                value = _finite(gold, _numbers(point))
                if value is not None and abs(mpmath.im(value)) < mpmath.mpf(10) ** -20:
                    found.append(point)
                else:
                    rejected += 1
                    fallback += [point] if value is not None else []
                if len(found) == POINTS:
                    break
            if len(found) == POINTS and (rejected == 0 or len(signs) == 1):
                return found, rejected == 0 and len(signs) == 1
        # Not real on enough of the positive points either: every point where it is real, else where it is finite.
        return (found or fallback)[:POINTS], False


def _finite(tree: Tree, point: Mapping[str, Any]) -> Any:
    try:
        return _value(tree, point)
    except _Undefined:
        return None


def _numbers(point: Point) -> dict[str, Any]:
    """A point's rational coordinates in the working precision."""
    return {name: mpmath.mpf(p) / q for name, (p, q) in point.items()}


def _magnitude(tree: Tree, place: Mapping[str, Any]) -> int:
    """The largest decimal exponent, of either sign, among the values of the tree and of its parts."""
    largest = max((_magnitude(part, place) for part in tree[1:] if isinstance(part, tuple)), default=0)
    value = _finite(tree, place)
    if value is not None and value != 0:
        largest = max(largest, abs(int(mpmath.floor(mpmath.log10(abs(value))))) + 1)
    if largest > MAX_MAGNITUDE:
        raise OverflowError(f"values with more than {MAX_MAGNITUDE} digits")
    return largest


def _value(tree: Tree, point: Mapping[str, Any]) -> Any:
    """The value at a point, in the working precision. Raises _Undefined where there is none that is finite."""
    try:
        value = _evaluated(tree, point)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise _Undefined from error
    if not mpmath.isfinite(value):
        raise _Undefined
    return value


def _evaluated(tree: Tree, point: Mapping[str, Any]) -> Any:
    kind = tree[0]
    if kind == "num":
        return mpmath.mpf(tree[1]) / tree[2]
    if kind == "var":
        return point[tree[1]]
    if kind == "const":
        return {"pi": +mpmath.pi, "e": +mpmath.e, "i": mpmath.mpc(0, 1)}[tree[1]]
    values = [_value(part, point) for part in tree[1:] if isinstance(part, tuple)]
    if kind == "add":
        return mpmath.fsum(values)
    if kind == "mul":
        return mpmath.fprod(values)
    if kind == "div":
        return values[0] / values[1]
    if kind == "neg":
        return -values[0]
    if kind == "root":
        return _root(values[0], tree[2])
    if kind == "fact":
        return mpmath.factorial(values[0])
    if kind == "call":
        return _MP[tree[1]](values[0])
    base, exponent = values
    if abs(exponent) > 10 * MAX_MAGNITUDE:
        raise OverflowError("an exponent that is too large")
    return base**exponent


def _root(value: Any, index: int) -> Any:
    """The real root where there is one, else the principal one."""
    if index % 2 and mpmath.im(value) == 0 and mpmath.re(value) < 0:
        return -mpmath.root(-value, index)
    return mpmath.root(value, index)


def _confirmed(left: Tree, right: Tree, positive: bool) -> bool:
    """Whether sympy or math-verify finds the two the same; asked only after arithmetic could not tell them apart."""
    gold, answer = _build(left, positive), _build(right, positive)
    difference = gold - answer
    if difference == 0 or sympy.expand(difference) == 0:
        return True
    if verify(gold, answer, timeout_seconds=None):  # no alarm of its own: this process is killed from outside
        return True
    # no slope, and zero at the points: zero (arcsin x + arccos x = pi/2)
    slopes = [sympy.simplify(sympy.diff(difference, name)) for name in difference.free_symbols]
    if slopes and all(slope == 0 for slope in slopes):
        return True
    return difference.equals(0) is True


def _build(tree: Tree, positive: bool) -> Any:
    """The sympy object of a tree, from a fixed table of constructors. Variables are real numbers."""
    kind = tree[0]
    if kind == "num":
        return sympy.Rational(tree[1], tree[2])
    if kind == "var":
        return sympy.Symbol(tree[1], real=True, positive=True if positive else None)
    if kind == "const":
        return _CONSTANTS[tree[1]]
    parts = [_build(part, positive) for part in tree[1:] if isinstance(part, tuple)]
    if kind == "add":
        return sympy.Add(*parts)
    if kind == "mul":
        return sympy.Mul(*parts)
    if kind == "div":
        return parts[0] / parts[1]
    if kind == "neg":
        return -parts[0]
    if kind == "root":
        odd_negative = tree[2] % 2 and parts[0].is_negative
        return -sympy.root(-parts[0], tree[2]) if odd_negative else sympy.root(parts[0], tree[2])
    if kind == "fact":
        return sympy.factorial(parts[0])
    if kind == "call":
        return _SYMPY[tree[1]](parts[0])
    return sympy.Pow(*parts)


def _tree(data: Any) -> Tree:
    """JSON's lists as tuples again."""
    return tuple(_tree(part) if isinstance(part, list) else part for part in data)


def main() -> None:
    """The child process."""
    serve({"compare": compare, "compare_relations": compare_relations})


if __name__ == "__main__":
    main()
