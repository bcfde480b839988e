"""What holds in an invented world: houses that people founded in towns, and the people."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.naming import Naming
from whetstone.tasks.task import Facts


class Invention(Naming):
    """Draws the facts that a document tells.

    {"houses": {name: {"kind", "town", "founder", "opened", "stock"}}, "people": {name: {"born", "town", "admired"}}}.
    `opened` is a date, "14 Sulvek 1432", and `stock` a count of what such a house keeps. Names of houses, towns, people
    and months all differ; no two people are born in one year or one town, no two houses stand in one town or have
    one stock: a wrong path does not lead to the right answer.
    """

    kinds = ("library", "orchard", "archive", "harbour", "school", "museum", "stable", "bakery", "brewery", "theatre")
    stocks = ("scrolls", "trees", "maps", "boats", "pupils", "statues", "horses", "ovens", "barrels", "masks")

    def invent(self, rng: random.Random, houses: int, people: int) -> dict[str, Any]:
        """A world of so many houses and people (at least as many people as houses: nobody founds two)."""
        names = [name.capitalize() for name in self.invented(rng, 2 * (houses + people) + 2)]
        house_names, names = names[:houses], names[houses:]
        persons, names = names[:people], names[people:]
        towns, months = names[2:], names[:2]
        era = rng.randint(1000, 1800)
        births = rng.sample(range(era, era + 60), people)
        facts: dict[str, Any] = {"houses": {}, "people": {}}
        for person, born, town, admired in zip(
            persons, births, towns[houses:], self._admired(rng, persons), strict=True
        ):
            facts["people"][person] = {"born": born, "town": town, "admired": admired}
        kinds, counts = rng.sample(self.kinds, houses), rng.sample(range(20, 980), houses)
        founders = rng.sample(persons, houses)
        for name, kind, town, founder, count in zip(house_names, kinds, towns[:houses], founders, counts, strict=True):
            year = facts["people"][founder]["born"] + rng.randint(20, 60)
            facts["houses"][name] = {
                "kind": kind,
                "town": town,
                "founder": founder,
                "opened": f"{rng.randint(1, 28)} {rng.choice(months)} {year}",
                "stock": count,
            }
        return facts

    @staticmethod
    def _admired(rng: random.Random, persons: list[str]) -> list[str]:
        """Whom each admires most: somebody else, and everybody is admired by one."""
        while True:
            others = rng.sample(persons, len(persons))
            if all(one != other for one, other in zip(persons, others, strict=True)):
                return others

    @classmethod
    def stocked(cls, facts: Facts, house: str) -> str:
        """What the house keeps: "scrolls"."""
        return cls.stocks[cls.kinds.index(facts["houses"][house]["kind"])]

    @staticmethod
    def titled(facts: Facts, house: str) -> str:
        """As documents and questions call it: "the Zamduk library"."""
        return f"the {house} {facts['houses'][house]['kind']}"

    @staticmethod
    def year(date: str) -> int:
        """The year of a date."""
        return int(date.split()[-1])
