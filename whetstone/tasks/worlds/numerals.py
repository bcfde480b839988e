"""Sums in an invented number system."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Numerals(WordWorld):
    """Level n: the sum of two numbers of n digits in base 5, 5, 6 or 7, each digit an invented word."""

    wordings = ("counting", "merchants", "stones")
    instruction = "Reply with the number in these words only."
    max_new_tokens = 48

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        base = (5, 5, 6, 7)[level - 1]
        digits = self.invented(rng, base)
        first, second = ([rng.randint(int(i == 0), base - 1) for i in range(level)] for _ in range(2))
        numbers = [" ".join(digits[digit] for digit in number) for number in (first, second)]
        return {"base": base, "digits": digits, "numbers": numbers}

    def told(self, facts: Facts, wording: str) -> str:
        base, digits = facts["base"], facts["digits"]
        first, second = facts["numbers"]
        each = ", ".join(f"{digit} for {value}" for value, digit in enumerate(digits))
        if wording == "counting":
            return (
                f"A people counts in base {base}. Its digits: {each}. A number names its digits from the highest place "
                f'to the lowest. In these words, what is "{first}" plus "{second}"?'
            )
        if wording == "merchants":
            return (
                f"Merchants write numbers with the words {each}. Every place counts {base} times as much as the place "
                f'to its right. One owes "{first}", another "{second}". How much do they owe together, in the '
                "merchants' words?"
            )
        return (
            f"Carved stones stand for digits: {each}. After {digits[-1]} the carvers begin a new place, so they count "
            f'in base {base}, highest place first. Add "{second}" to "{first}". Which stones show the sum?'
        )

    def canonical_facts(self, facts: Facts) -> Facts:
        return {**facts, "numbers": sorted(facts["numbers"])}

    def solve(self, facts: Facts) -> Solution:
        """Column by column from the right, with a carry."""
        base, digits = facts["base"], facts["digits"]
        columns = [[digits.index(word) for word in number.split()][::-1] for number in facts["numbers"]]
        carry, result, steps = 0, [], []
        for first, second in zip(*columns, strict=True):
            carried = f" plus {carry}" if carry else ""
            carry, digit = divmod(first + second + carry, base)
            result.append(digits[digit])
            steps.append(f"{first} plus {second}{carried} makes {digits[digit]}, carry {carry}")
        if carry:
            result.append(digits[carry])
        return Solution(steps, " ".join(result[::-1]))
