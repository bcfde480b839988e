"""Countdown: make a target from given numbers. The expression is read by an exact parser of our own over
fractions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from whetstone.tasks.cursor import Cursor
from whetstone.tasks.segments import ALTERED, DERIVED, MAX_TEXT, REVOKED, marked
from whetstone.tasks.task import Facts, Problem, Task, Verdict

MAX_EXPRESSION = 200  # characters
MAX_NESTING = 16  # brackets inside brackets
MAX_NUMBER_DIGITS = 6
SEARCH_BUDGET = 200_000  # multisets of values that the solver visits

_NORMAL = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "[": "(", "]": ")"})
_LATEX = (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("\\left", ""), ("\\right", ""))
_RUN = re.compile(r"[0-9(][0-9+*/() \t-]*+")
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")


class ExpressionError(ValueError):
    """The text is not an expression within the caps."""


class _Parser(Cursor):
    """Recursive descent over tokens: sum = product (+- product)*, product = atom (*/ atom)*, atom = number |
    (sum).
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_EXPRESSION:
            raise ExpressionError(f"longer than {MAX_EXPRESSION} characters")
        super().__init__(_TOKEN.findall(text))
        if sum(map(len, self.tokens)) != len("".join(text.split())):
            raise ExpressionError("a character that is not a digit, an operator or a bracket")
        self.nesting = 0
        self.numbers: list[int] = []

    def parse(self) -> Fraction:
        value = self._sum()
        if not self.at_end:
            raise ExpressionError(f"unexpected {self.peek()!r}")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while self.peek() in ("+", "-"):
            value = value + self._product() if self.next() == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._atom()
        while self.peek() in ("*", "/"):
            value = value * self._atom() if self.next() == "*" else value / self._atom()
        return value

    def _atom(self) -> Fraction:
        token = self.next()
        if token == "(":
            self.nesting += 1
            if self.nesting > MAX_NESTING:
                raise ExpressionError(f"brackets nested deeper than {MAX_NESTING}")
            value = self._sum()
            if self.next() != ")":
                raise ExpressionError("a bracket is not closed")
            self.nesting -= 1
            return value
        if not token.isdigit() or len(token) > MAX_NUMBER_DIGITS:
            raise ExpressionError(f"{token[:20]!r} is not a number of at most {MAX_NUMBER_DIGITS} digits")
        self.numbers.append(int(token))
        return Fraction(int(token))


def evaluate(text: str) -> tuple[Fraction, list[int]]:
    """The exact value of an expression of + - * / and brackets, and the numbers it uses in order.

    No signs, powers or decimals. Raises ExpressionError for anything else and ZeroDivisionError for a zero
    divisor.
    """
    parser = _Parser(text)
    return parser.parse(), parser.numbers


def solve(numbers: Sequence[int], target: int) -> str | None:
    """An expression of whole steps that uses every number once and makes the target, or None.

    Depth first over pairs of what is left, never the same multiset twice, at most SEARCH_BUDGET steps.
    """
    seen: set[tuple[int, ...]] = set()

    def search(pool: list[tuple[int, str]]) -> str | None:
        if len(pool) == 1:
            return pool[0][1] if pool[0][0] == target else None
        for i in range(len(pool)):
            for j in range(i):
                rest = [item for k, item in enumerate(pool) if k not in (i, j)]
                for combined in _combinations(pool[i], pool[j]):
                    following = [*rest, combined]
                    values = tuple(sorted(value for value, _ in following))
                    if values in seen or len(seen) >= SEARCH_BUDGET:
                        continue
                    seen.add(values)
                    if (found := search(following)) is not None:
                        return found
        return None

    found = search([(number, str(number)) for number in numbers])
    return found[1:-1] if found is not None and found.startswith("(") else found


def _combinations(x: tuple[int, str], y: tuple[int, str]) -> Iterator[tuple[int, str]]:
    (a, left), (b, right) = sorted((x, y), reverse=True)
    yield a + b, f"({left} + {right})"
    yield a - b, f"({left} - {right})"
    yield a * b, f"({left} * {right})"
    yield b - a, f"({right} - {left})"
    if b and a % b == 0:
        yield a // b, f"({left} / {right})"
    if a and b % a == 0:
        yield b // a, f"({right} / {left})"


class Countdown(Task):
    """Level n: n + 2 numbers from 1 to 25, each to be used exactly once, and a target from 1 to 999 that can
    be made.

    Verifiable: numbers and target stand in the question, and to evaluate an expression takes no search for it.
    """

    levels = (1, 2, 3, 4)
    instruction = "Reply with the expression only."
    max_new_tokens = 48
    verifiable = True

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        while True:
            numbers = [rng.randint(1, 25) for _ in range(level + 2)]
            target = self._some_value(rng, numbers)
            if target is not None and 1 <= target <= 999 and target not in numbers:
                break
        listed = ", ".join(map(str, numbers))
        question = (
            f"Using each of the numbers {listed} exactly once, with addition, subtraction, multiplication, "
            f"division and brackets, write an expression that equals {target}."
        )
        return Problem(question, {"numbers": numbers, "target": target})

    def check(self, problem: Problem, text: str) -> Verdict:
        """Exactly one expression may be given; "= target" may follow it, "= anything else" makes it wrong."""
        found = self._expressions(text)
        if len(found) != 1:
            return Verdict.NO_ANSWER
        expression, claims = found.popitem()
        try:
            value, used = evaluate(expression)
        except ExpressionError:
            return Verdict.NO_ANSWER
        except ZeroDivisionError:
            return Verdict.WRONG
        target = problem.facts["target"]
        fits = value == target and sorted(used) == sorted(problem.facts["numbers"])
        return Verdict.RIGHT if fits and claims <= {str(target)} else Verdict.WRONG

    def answer(self, problem: Problem) -> str | None:
        return solve(problem.facts["numbers"], problem.facts["target"])

    def worked(self, problem: Problem) -> str | None:
        solved = self.answer(problem)
        return None if solved is None else f"{solved} = {problem.facts['target']}"

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"numbers": sorted(facts["numbers"]), "target": facts["target"]}

    @staticmethod
    def _some_value(rng: random.Random, numbers: Sequence[int]) -> int | None:
        """Combine the numbers at random; None when a division does not come out whole."""
        pool = list(numbers)
        while len(pool) > 1:
            a, b = (pool.pop(rng.randrange(len(pool))) for _ in range(2))
            operator = rng.choice("+-*/")
            if operator == "/" and (b == 0 or a % b):
                return None
            pool.append({"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[operator])
        return pool[0]

    @staticmethod
    def _expressions(text: str) -> dict[str, set[str]]:
        """Each distinct expression (spaces removed) with what the text says it equals."""
        if len(text) > MAX_TEXT or REVOKED.search(text):
            return {}
        found: dict[str, set[str]] = {}
        for segment in marked(text) or [text]:
            for name, sign in _LATEX:
                segment = segment.replace(name, sign)
            segment = segment.translate(_NORMAL)
            for run in _RUN.finditer(segment):
                expression = "".join(run.group().split())
                if not re.search(r"[0-9)][-+*/]", expression):
                    continue  # a bare number is not an expression
                # A sign, letter or point that touches it would change what it says; "?" is refused.
                before = segment[max(0, run.start() - 1) : run.start()]
                after = segment[run.end() : run.end() + 20]
                sentence = re.split(r"[.!?;\n]", segment[max(0, run.start() - 80) : run.start()])[-1] + " " + after
                joined = re.search(r"[\w.+*/^-]", before) or re.match(r"[\w^!%]", after)
                if joined or ALTERED.search(sentence) or DERIVED.search(sentence):
                    expression += "?"
                claim = re.match(r"\s{0,3}=\s{0,3}([0-9]{1,9})\b", after)
                found.setdefault(expression, set()).update(claim.groups() if claim else ())
        return found
