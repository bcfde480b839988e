"""Arithmetic: addition, subtraction, multiplication, chains of operations, greatest common divisor, sums of
fractions.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from fractions import Fraction

from whetstone.tasks.answers import final_number, judge_fraction, judge_integer
from whetstone.tasks.task import Facts, Problem, Task, Verdict


class IntegerTask(Task):
    """A task whose answer is one integer worked out from the facts."""

    instruction = "Reply with the number only."
    max_new_tokens = 12

    @staticmethod
    def drawn(rng: random.Random, digits: int, lowest: int = 1) -> int:
        """A uniform integer of exactly `digits` decimal digits, not below `lowest`."""
        return rng.randint(max(lowest, 10 ** (digits - 1)), 10**digits - 1)

    @abstractmethod
    def gold(self, facts: Facts) -> int:
        """The right answer."""

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_integer(text, self.gold(problem.facts))

    def answer(self, problem: Problem) -> str | None:
        return str(self.gold(problem.facts))

    def final_answer(self, text: str) -> str | None:
        return final_number(text)


class Addition(IntegerTask):
    """Level n: the sum of two numbers of exactly n digits. Level 2 has 4095 different problems."""

    levels = tuple(range(1, 9))

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        a, b = self.drawn(rng, level), self.drawn(rng, level)
        return Problem(f"What is {a} + {b}?", {"a": a, "b": b})

    def gold(self, facts: Facts) -> int:
        return int(facts["a"] + facts["b"])

    def worked(self, problem: Problem) -> str:
        return f"{problem.facts['a']} + {problem.facts['b']} = {self.gold(problem.facts)}"

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"a": min(facts["a"], facts["b"]), "b": max(facts["a"], facts["b"])}


class Subtraction(IntegerTask):
    """Level n: a - b for two different numbers of exactly n digits, a > b. Level 2: 4005 problems."""

    levels = tuple(range(1, 9))

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        while (a := self.drawn(rng, level)) == (b := self.drawn(rng, level)):
            pass
        a, b = max(a, b), min(a, b)
        return Problem(f"What is {a} - {b}?", {"a": a, "b": b})

    def gold(self, facts: Facts) -> int:
        return int(facts["a"] - facts["b"])

    def worked(self, problem: Problem) -> str:
        return f"{problem.facts['a']} - {problem.facts['b']} = {self.gold(problem.facts)}"


class Multiplication(IntegerTask):
    """Level n: a number of n digits times one of one digit, neither below 2. Level 3: 7200 problems."""

    levels = tuple(range(1, 9))
    default_level = 3

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        a, b = self.drawn(rng, level, lowest=2), self.drawn(rng, 1, lowest=2)
        return Problem(f"What is {a} * {b}?", {"a": a, "b": b})

    def gold(self, facts: Facts) -> int:
        return int(facts["a"] * facts["b"])

    def worked(self, problem: Problem) -> str:
        return f"{problem.facts['a']} * {problem.facts['b']} = {self.gold(problem.facts)}"

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"a": min(facts["a"], facts["b"]), "b": max(facts["a"], facts["b"])}


class Chain(IntegerTask):
    """Level n: n + 1 operations among +, - and at most one *, on numbers from 2 to 20. Usual precedence."""

    levels = tuple(range(1, 9))
    instruction = "Reply with the final number only."

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        while len(set(terms := [rng.randint(2, 20) for _ in range(level + 2)])) == 1:
            pass  # "3 - 3 + 3" would state its own answer
        operators = [rng.choice("+-") for _ in range(level + 1)]
        if rng.random() < 0.5:
            operators[rng.randrange(level + 1)] = "*"
        pairs = zip(operators, terms[1:], strict=True)
        text = " ".join([str(terms[0]), *(f"{operator} {term}" for operator, term in pairs)])
        return Problem(f"What is {text}?", {"terms": terms, "operators": operators})

    def gold(self, facts: Facts) -> int:
        products: list[int] = [facts["terms"][0]]  # a sum of signed products
        for operator, term in zip(facts["operators"], facts["terms"][1:], strict=True):
            if operator == "*":
                products[-1] *= term
            else:
                products.append(term if operator == "+" else -term)
        return sum(products)

    def worked(self, problem: Problem) -> str:
        """The product first, then one operation after the other: "4 * 5 = 20, 3 + 20 = 23"."""
        terms, operators = list(problem.facts["terms"]), list(problem.facts["operators"])
        steps = []
        while operators:
            at = operators.index("*") if "*" in operators else 0
            operator, left, right = operators.pop(at), terms[at], terms.pop(at + 1)
            terms[at] = {"+": left + right, "-": left - right, "*": left * right}[operator]
            steps.append(f"{left} {operator} {right} = {terms[at]}")
        return ", ".join(steps)


class Gcd(IntegerTask):
    """Level n: the greatest common divisor of two different numbers of exactly n digits (level 1: from 2).

    Two random numbers are coprime six times in ten, which would make "1" a good guess; two problems of three
    are drawn by choosing the divisor first. Level 2 has 4005 problems.
    """

    levels = tuple(range(1, 7))

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        low, high = max(2, 10 ** (level - 1)), 10**level - 1
        while True:
            divisor = 1 if rng.random() < 1 / 3 else rng.randint(2, high // 2)
            smallest, largest = -(-low // divisor), high // divisor
            a, b = (divisor * rng.randint(smallest, largest) for _ in range(2))
            if a != b:
                question = f"What is the greatest common divisor of {a} and {b}?"
                return Problem(question, {"a": a, "b": b})

    def gold(self, facts: Facts) -> int:
        return math.gcd(facts["a"], facts["b"])

    def worked(self, problem: Problem) -> str:
        """Euclid's remainders."""
        b, a = sorted((problem.facts["a"], problem.facts["b"]))
        steps = []
        while b:
            steps.append(f"{a} mod {b} = {a % b}")
            a, b = b, a % b
        return f"{', '.join(steps)}, so the greatest common divisor is {a}"

    def canonical_facts(self, facts: Facts) -> Facts:
        return {"a": min(facts["a"], facts["b"]), "b": max(facts["a"], facts["b"])}


class Fractions(Task):
    """Level n: the sum of two different proper fractions in lowest terms, denominators from 2 to 8 n. Level
    2: 3081.
    """

    levels = tuple(range(1, 7))
    instruction = "Reply with the fraction only."
    max_new_tokens = 16

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        while (left := self._proper(rng, 8 * level)) == (right := self._proper(rng, 8 * level)):
            pass
        return Problem(f"What is {left} + {right}?", {"left": str(left), "right": str(right)})

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_fraction(text, self._gold(problem))

    def answer(self, problem: Problem) -> str | None:
        return str(self._gold(problem))

    def worked(self, problem: Problem) -> str:
        """Both over the common denominator: "1/2 + 1/3 = 3/6 + 2/6 = 5/6"."""
        left, right = (Fraction(problem.facts[side]) for side in ("left", "right"))
        common = math.lcm(left.denominator, right.denominator)
        tops = [side.numerator * (common // side.denominator) for side in (left, right)]
        forms = [f"{left} + {right}", f"{tops[0]}/{common} + {tops[1]}/{common}", f"{sum(tops)}/{common}"]
        forms.append(str(self._gold(problem)))
        return " = ".join(dict.fromkeys(forms))  # what is over one denominator already, or in lowest terms, stands once

    def final_answer(self, text: str) -> str | None:
        return final_number(text)

    def canonical_facts(self, facts: Facts) -> Facts:
        left, right = sorted((facts["left"], facts["right"]))
        return {"left": left, "right": right}

    @staticmethod
    def _proper(rng: random.Random, largest: int) -> Fraction:
        bottom = rng.randint(2, largest)
        return Fraction(rng.randint(1, bottom - 1), bottom)

    @staticmethod
    def _gold(problem: Problem) -> Fraction:
        return Fraction(problem.facts["left"]) + Fraction(problem.facts["right"])
