"""A walker on a grid who obeys invented commands."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import IntegerWorld, Solution


class Walker(IntegerWorld):
    """Level n: one coordinate of the place after 1, 3, 5 or 8 commands; from level 2 on commands turn, too."""

    wordings = ("robot", "ship", "beetle")
    headings = ("north", "east", "south", "west")
    ways = ((0, 1), (1, 0), (0, -1), (-1, 0))

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        names = self.invented(rng, 2 if level == 1 else 4)
        rules: list[dict[str, Any]] = [{"forward": rng.randint(2, 9)}, {"back": rng.randint(2, 9)}]
        if level > 1:
            rules += [{"turn": "left"}, {"turn": "right"}]
        commands = self.shuffled(rng, dict(zip(names, rules, strict=True)))
        while True:
            facts = {
                "commands": commands,
                "start": [rng.randint(0, 9), rng.randint(0, 9)],
                "heading": rng.choice(self.headings),
                "program": [rng.choice(names) for _ in range((1, 3, 5, 8)[level - 1])],
                "axis": rng.choice("xy"),
            }
            far = [rule.get("forward", rule.get("back", 0)) for rule in commands.values()]
            if int(self.solve(facts).answer) not in (*facts["start"], *far):  # nothing that the question states
                return facts

    def told(self, facts: Facts, wording: str) -> str:
        (x, y), heading = facts["start"], facts["heading"]
        program, axis = ", ".join(facts["program"]), facts["axis"]
        who, opening, asked = {
            "robot": (
                "the robot",
                f"A robot starts at x = {x}, y = {y} and looks {heading}. North makes y larger, east makes x larger.",
                f"It gets the commands {program}. At which {axis} does it stand then?",
            ),
            "ship": (
                "the ship",
                f"On a chart, x grows towards the east and y grows towards the north. A ship lies at x = {x}, y = {y}, "
                f"its bow to the {heading}.",
                f"The captain shouts {program}, one after the other. At which {axis} does the ship end?",
            ),
            "beetle": (
                "the beetle",
                f"A beetle sits on squared paper, x = {x} squares east and y = {y} squares north of a corner, "
                f"and faces {heading}.",
                f"It does {program}, in this order; beyond the corner numbers are negative. At which {axis} does it "
                "sit then?",
            ),
        }[wording]
        rules = "; ".join(f"{name}: {who} {self._meaning(rule)}" for name, rule in facts["commands"].items())
        return f"{opening} {rules}. {asked}"

    @staticmethod
    def _meaning(rule: dict[str, Any]) -> str:
        if "turn" in rule:
            return f"turns {rule['turn']} on the spot"
        if "forward" in rule:
            return f"goes {rule['forward']} forward"
        return f"goes {rule['back']} back without turning"

    def solve(self, facts: Facts) -> Solution:
        (x, y), at, steps = facts["start"], self.headings.index(facts["heading"]), []
        for name in facts["program"]:
            rule = facts["commands"][name]
            if "turn" in rule:
                at = (at + (1 if rule["turn"] == "right" else -1)) % 4
                steps.append(f"{name} faces {self.headings[at]}")
            else:
                far = rule.get("forward", 0) - rule.get("back", 0)
                x, y = x + far * self.ways[at][0], y + far * self.ways[at][1]
                steps.append(f"{name} gets to {x}, {y}")
        return Solution(steps, str(x if facts["axis"] == "x" else y))
