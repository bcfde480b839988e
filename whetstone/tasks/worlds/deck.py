"""A row of cards and moves with invented names."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Deck(WordWorld):
    """Level n: the order of 4, 5, 5 or 6 cards after 1, 2, 3 or 5 moves."""

    wordings = ("cards", "queue", "shelf")
    instruction = "Reply with the whole new order only, separated by spaces."
    max_new_tokens = 32
    cards = ("red", "blue", "green", "white", "black", "gold", "pink", "gray", "brown", "purple", "silver", "orange")

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        size, length = (4, 5, 5, 6)[level - 1], (1, 2, 3, 5)[level - 1]
        cards, names = rng.sample(self.cards, size), self.invented(rng, 3)
        while True:
            rules = [
                {"turn": rng.randint(2, size - 1)},
                {"back": rng.randint(1, size - 2)},
                {"swap": sorted(rng.sample(range(1, size + 1), 2))},
            ]
            moves = self.shuffled(rng, dict(zip(names, rules, strict=True)))
            facts = {"cards": cards, "moves": moves, "order": self._program(rng, names, length)}
            if self.solve(facts).answer.split() != cards:
                return facts

    @staticmethod
    def _program(rng: random.Random, names: list[str], length: int) -> list[str]:
        """Never the same move twice in a row: two would often undo each other."""
        program = [rng.choice(names)]
        while len(program) < length:
            program.append(rng.choice([name for name in names if name != program[-1]]))
        return program

    def told(self, facts: Facts, wording: str) -> str:
        cards, order = " ".join(facts["cards"]), self.listed(facts["order"])
        things, opening, asked = {
            "cards": (
                "cards",
                f"A row of cards, from left to right, reads {cards}.",
                f"The dealer does {order}, in this order. What does the row read then?",
            ),
            "queue": (
                "people",
                f"People wait in a queue and are known by their coats. From first to last their coats are {cards}.",
                f"The guard calls {order}, in this order. In which order do the coats stand then?",
            ),
            "shelf": (
                "books",
                f"Books stand on a shelf. From left to right their colours are {cards}.",
                f"A librarian carries out {order}, in this order. Name the colours as they stand afterwards.",
            ),
        }[wording]
        rules = "; ".join(f'"{name}" means: {self._meaning(rule, things)}' for name, rule in facts["moves"].items())
        return f"{opening} {rules}. {asked}"

    @staticmethod
    def _meaning(rule: dict[str, Any], things: str) -> str:
        if "turn" in rule:
            return f"the first {rule['turn']} {things} change to the opposite order"
        if "back" in rule:
            count = rule["back"]
            return (
                f"the first {count} {things} go to the end"
                if count > 1
                else f"the first 1 of the {things} goes to the end"
            )
        return f"places {rule['swap'][0]} and {rule['swap'][1]} are exchanged"

    def solve(self, facts: Facts) -> Solution:
        row, steps = list(facts["cards"]), []
        for name in facts["order"]:
            rule = facts["moves"][name]
            if "turn" in rule:
                row[: rule["turn"]] = row[: rule["turn"]][::-1]
            elif "back" in rule:
                row = row[rule["back"] :] + row[: rule["back"]]
            else:
                i, j = (place - 1 for place in rule["swap"])
                row[i], row[j] = row[j], row[i]
            steps.append(f"{name} makes {' '.join(row)}")
        return Solution(steps, " ".join(row))
