"""Amounts in invented units."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import IntegerWorld, Solution


class Units(IntegerWorld):
    """Level n: one conversion; one over two units; a sum of amounts in three units; the difference of two such sums."""

    wordings = ("measures", "coins", "barrels")

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        names = self.invented(rng, 3 if level > 1 else 2)  # from the largest to the smallest
        while True:
            factors = [rng.randint(2, 12) for _ in names[1:]]
            count = 1 if level < 3 else 3
            amounts = [[rng.randint(2, 9) for _ in range(count)] for _ in range(1 if level < 4 else 2)]
            facts = {"names": names, "factors": factors, "amounts": amounts}
            stated = {*factors, *(number for amount in amounts for number in amount)}
            result = int(self.solve(facts).answer)
            if result > 0 and result not in stated:
                return facts

    def told(self, facts: Facts, wording: str) -> str:
        names, factors = facts["names"], facts["factors"]
        pairs = list(zip(names, factors, names[1:], strict=False))
        said = [self.listed([f"{n} {name}" for n, name in zip(a, names, strict=False)]) for a in facts["amounts"]]
        smallest, two = names[-1], len(said) > 1
        if wording == "measures":
            rules = " and ".join(f"1 {large} = {factor} {small}" for large, factor, small in pairs)
            end = (
                f"By how many {smallest} do {said[0]} exceed {said[-1]}?"
                if two
                else f"How many {smallest} are {said[0]}?"
            )
            return f"In an old system of measures, {rules}. {end}"
        if wording == "coins":
            rules = " and ".join(f"{factor} {small} buy one {large}" for large, factor, small in pairs)
            end = (
                f"Someone has {said[0]} and spends {said[1]}. How many {smallest} are the rest worth?"
                if two
                else f"Someone changes {said[0]} into {smallest}. How many {smallest} does that make?"
            )
            return f"On an island people pay with coins: {rules}. {end}"
        rules = ", and ".join(f"a {large} holds {factor} {small}" for large, factor, small in pairs)
        end = (
            f"A cellar has {said[0]}; {said[1]} are carried out. How much remains, counted in {smallest} alone?"
            if two
            else f"A cellar has {said[0]}. How much does it have, counted in {smallest} alone?"
        )
        return f"In a cellar {rules}. {end}"

    def solve(self, facts: Facts) -> Solution:
        totals, steps = [], []
        for amount in facts["amounts"]:
            total = amount[0]
            for place, (factor, small) in enumerate(zip(facts["factors"], facts["names"][1:], strict=True), start=1):
                more = amount[place] if place < len(amount) else 0
                before, total = total, total * factor + more
                steps.append(f"{before} times {factor}{f' plus {more}' if more else ''} makes {total} {small}")
            totals.append(total)
        result = totals[0] - sum(totals[1:])
        if len(totals) > 1:
            steps.append(f"{totals[0]} minus {totals[1]} makes {result}")
        return Solution(steps, str(result))
