"""The exact value of a formula that is a rational number, and a bound on how many digits work on it can need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from whetstone.tasks.formula import Tree
from whetstone.tasks.notation import FormulaError

MAX_SIZE = 8_000  # digits
MAX_EXPONENT = 10_000
MAX_FACTORIAL = 3_000


def exact(tree: Tree) -> Fraction | None:
    """The value, or None for what is no rational number on the face of it (pi, a variable, sin(pi/6)).

    Raises FormulaError for what is undefined (1/0, 0^-1) or larger than the caps.
    """
    return measure(tree)[1]


def measure(tree: Tree) -> tuple[int, Fraction | None]:
    """(size, exact value or None) of an expression. The size bounds the digits of every rational number in it.

    Raises FormulaError as `exact` does, and for a relation or a list.
    """
    kind, parts = tree[0], tree[1:]
    if kind == "num":
        return len(str(parts[0])) + len(str(parts[1])), Fraction(parts[0], parts[1])
    if kind in ("var", "const"):
        return 1, None
    if kind == "call":
        size, value = measure(parts[1])
        return _capped(size + 1), abs(value) if parts[0] == "abs" and value is not None else None
    if kind == "root":
        size, value = measure(parts[0])
        return _capped(size + 1), None if value is None else _root(value, parts[1])
    if kind == "pow":
        return _power(measure(parts[0]), measure(parts[1]))
    if kind == "fact":
        return _factorial(measure(parts[0]))
    measured = [measure(part) for part in parts if isinstance(part, tuple)]
    if kind not in ("add", "mul", "div", "neg"):
        raise FormulaError("a relation or a list is no number")
    size = _capped(sum(size for size, _ in measured) + len(measured))
    values = [value for _, value in measured if value is not None]
    if kind == "div" and measured[1][1] == 0:
        raise FormulaError("division by zero")
    return size, _combined(kind, values) if len(values) == len(measured) else None


def _combined(kind: str, values: Sequence[Fraction]) -> Fraction:
    if kind == "add":
        return sum(values, Fraction(0))
    if kind == "mul":
        return math.prod(values, start=Fraction(1))
    return -values[0] if kind == "neg" else values[0] / values[1]


def _capped(size: int) -> int:
    if size > MAX_SIZE:
        raise FormulaError(f"numbers of more than {MAX_SIZE} digits")
    return size


def _power(base: tuple[int, Fraction | None], exponent: tuple[int, Fraction | None]) -> tuple[int, Fraction | None]:
    power = exponent[1]
    if power is None:
        return _capped(base[0] + exponent[0]), None
    if abs(power) > MAX_EXPONENT:
        raise FormulaError(f"an exponent above {MAX_EXPONENT}")
    size = _capped(base[0] * max(1, math.ceil(abs(power))) + exponent[0])
    value = base[1]
    if value is None:
        return size, None
    if value == 0 and power <= 0:
        raise FormulaError("zero to a power that is not positive")
    if power.denominator > 100:
        return size, None
    rooted = value if power.denominator == 1 else _root(value, power.denominator) if value >= 0 else None
    return size, None if rooted is None else rooted**power.numerator


def _factorial(argument: tuple[int, Fraction | None]) -> tuple[int, Fraction | None]:
    value = argument[1]
    if value is None or value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        raise FormulaError(f"a factorial of something else than a whole number up to {MAX_FACTORIAL}")
    result = math.factorial(int(value))
    return _capped(int(result.bit_length() * 0.302) + 1), Fraction(result)


def _root(value: Fraction, index: int) -> Fraction | None:
    """The rational root, if there is one; of a negative number only for an odd index."""
    if value < 0:
        if index % 2 == 0:
            return None
        positive = _root(-value, index)
        return None if positive is None else -positive
    top, bottom = _whole_root(value.numerator, index), _whole_root(value.denominator, index)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _whole_root(number: int, index: int) -> int | None:
    low, high = 0, 1 << (number.bit_length() // index + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**index <= number else (low, middle - 1)
    return low if low**index == number else None
