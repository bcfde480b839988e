"""A machine with a stack of numbers and invented instructions."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import IntegerWorld, Solution


class Machine(IntegerWorld):
    """Level n: the top number after 3, 5, 7 or 9 instructions; level 1 only adds and multiplies, then come subtracting
    and doubling the top, then exchanging the two at the top.
    """

    wordings = ("stack", "plates", "scribe")
    actions = ("add", "multiply", "subtract", "copy", "exchange")
    largest = 999

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        actions = self.actions[: (2, 4, 5, 5)[level - 1]]
        names = self.invented(rng, len(actions) + 1)
        codes = self.shuffled(rng, dict(zip(names, ("push", *actions), strict=True)))
        while True:
            program = self._program(rng, {action: name for name, action in codes.items()}, actions, 2 * level + 1)
            facts = {"codes": {action: name for name, action in codes.items()}, "program": program}
            shown = {line.split()[-1] for line in program}
            stack, _ = self._run(facts)
            if len(stack) == 1 and abs(stack[0]) <= self.largest and str(stack[0]) not in shown:
                return facts

    @staticmethod
    def _program(rng: random.Random, names: dict[str, str], actions: tuple[str, ...], length: int) -> list[str]:
        """Lines that never take from an empty stack and, where they can, leave one number."""
        lines: list[str] = []
        depth = 0
        while len(lines) < length:
            left = length - len(lines)
            allowed = [action for action in actions if depth >= (1 if action == "copy" else 2)]
            if depth > left:  # each of the lines that are left must take one away
                allowed = [action for action in allowed if action in ("add", "multiply", "subtract")]
            elif depth + 1 <= left:
                allowed += ["push"] * (1 + len(allowed))
            if not allowed:
                allowed = ["push"]
            action = rng.choice(allowed)
            depth += {"push": 1, "copy": 1, "exchange": 0}.get(action, -1)
            lines.append(f"{names['push']} {rng.randint(2, 9)}" if action == "push" else names[action])
        return lines

    def told(self, facts: Facts, wording: str) -> str:
        program = ", ".join(facts["program"])
        opening, asked, meanings = {
            "stack": (
                "A machine keeps numbers in a stack, empty at first. Its instructions:",
                f"The program reads: {program}. Which number lies on top at the end?",
                {
                    "push": "{} N puts the number N on top",
                    "add": "{} takes the two top numbers away and puts their sum on top",
                    "multiply": "{} takes the two top numbers away and puts their product on top",
                    "subtract": "{} takes the two top numbers away and puts the lower one minus the top one on top",
                    "copy": "{} puts another copy of the top number on top",
                    "exchange": "{} exchanges the two top numbers",
                },
            ),
            "plates": (
                "A cook piles up plates with numbers on them; at first there are none. The orders mean:",
                f"The cook hears: {program}. What number does the top plate show at the end?",
                {
                    "push": "at {} N the cook lays a plate with the number N on the pile",
                    "add": "at {} the two top plates give way to one with their sum",
                    "multiply": "at {} the two top plates give way to one with their product",
                    "subtract": "at {} the two top plates give way to one with the lower number minus the top number",
                    "copy": "at {} a plate with the same number as the top plate goes on top",
                    "exchange": "at {} the two top plates change places",
                },
            ),
            "scribe": (
                "A scribe writes numbers in a column and works only at its lower end. It starts blank. The orders:",
                f"The master says: {program}. Which number stands lowest at the end?",
                {
                    "push": "{} N: write the number N below the others",
                    "add": "{}: strike out the last two and write their sum",
                    "multiply": "{}: strike out the last two and write their product",
                    "subtract": "{}: strike out the last two and write the second last minus the last",
                    "copy": "{}: write the last number once more below",
                    "exchange": "{}: let the last two numbers change places",
                },
            ),
        }[wording]
        rules = "; ".join(meanings[action].format(name) for action, name in facts["codes"].items())
        return f"{opening} {rules}. {asked}"

    @staticmethod
    def _run(facts: Facts) -> tuple[list[int], list[str]]:
        """The stack at the end, and what was on it after each line."""
        actions = {name: action for action, name in facts["codes"].items()}
        stack: list[int] = []
        steps: list[str] = []
        for line in facts["program"]:
            name, *number = line.split()
            action = actions[name]
            if action == "push":
                stack.append(int(number[0]))
            elif action == "copy":
                stack.append(stack[-1])
            else:
                top, lower = stack.pop(), stack.pop()
                results = {
                    "add": [lower + top],
                    "multiply": [lower * top],
                    "subtract": [lower - top],
                    "exchange": [top, lower],
                }
                stack += results[action]
            steps.append(f"{line} leaves {' '.join(map(str, stack))}")
        return stack, steps

    def solve(self, facts: Facts) -> Solution:
        stack, steps = self._run(facts)
        return Solution(steps, str(stack[-1]))
