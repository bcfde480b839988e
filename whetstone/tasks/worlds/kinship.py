"""People bound by invented relations, some of them made of others."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Kinship(WordWorld):
    """Level n: n relations in a row among 5, 6, 7 or 7 people, who have one relation, from level 2
    on two, and from level 3 on a third that is made of both.
    """

    wordings = ("village", "court", "guild")
    instruction = "Reply with the name only."

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        size = (5, 6, 7, 7)[level - 1]
        names = self.invented(rng, size + 3)
        people, relations, made = [name.capitalize() for name in names[:size]], names[size:-1][:level], names[-1]
        while True:
            bonds = {relation: self._bonds(rng, people) for relation in relations}
            facts: dict[str, Any] = {"bonds": bonds, "made": {}}
            if level > 2:
                facts["made"] = {made: rng.sample(relations, 2)}
            asked = [rng.choice(relations) for _ in range(level)]
            if level > 2:
                asked[rng.randrange(level)] = made
            facts.update({"of": rng.choice(people), "asked": asked})
            if self.solve(facts).answer != facts["of"]:
                return facts

    @classmethod
    def _bonds(cls, rng: random.Random, people: list[str]) -> dict[str, str]:
        """Everyone has one such relative, everyone is one, nobody is their own."""
        while True:
            others = rng.sample(people, len(people))
            if all(one != other for one, other in zip(people, others, strict=True)):
                return cls.shuffled(rng, dict(zip(people, others, strict=True)))

    def told(self, facts: Facts, wording: str) -> str:
        form, opening, making, asked = {
            "village": (
                "the {0} of {1} is {2}",
                "In a village everyone has relatives of a kind that only this village knows:",
                "The {} of a person is the {} of that person's {}.",
                "Who is {}?",
            ),
            "court": (
                "{1} calls {2} {0}",
                "At a court people have titles for each other; whom you call by a title, that is your own:",
                "Whoever a person calls {0}, that is the one who is called {1} by the person's {2}.",
                "Name the person who is {}.",
            ),
            "guild": (
                "for {1} the {0} is {2}",
                "In a guild every member has a place towards others:",
                "Your {} is the {} of your {}.",
                "Which member is {}?",
            ),
        }[wording]
        bonds = "; ".join(
            form.format(relation, one, other)
            for relation, pairs in facts["bonds"].items()
            for one, other in pairs.items()
        )
        made = "".join(f" {making.format(name, *parts)}" for name, parts in facts["made"].items())
        chain = f"{' of '.join(f'the {relation}' for relation in facts['asked'][::-1])} of {facts['of']}"
        return f"{opening} {bonds}.{made} {asked.format(chain)}"

    def solve(self, facts: Facts) -> Solution:
        """`asked` is in the order in which the relations are followed, beginning at `of`."""
        person, steps = facts["of"], []
        for relation in facts["asked"]:
            other = self._follow(facts, relation, person)
            steps.append(f"the {relation} of {person} is {other}")
            person = other
        return Solution(steps, person)

    @classmethod
    def _follow(cls, facts: Facts, relation: str, person: str) -> str:
        made: Mapping[str, list[str]] = facts["made"]
        if relation in made:  # the first part of the second part of the person
            outer, inner = made[relation]
            return cls._follow(facts, outer, cls._follow(facts, inner, person))
        return str(facts["bonds"][relation][person])
