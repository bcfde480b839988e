"""Questions about an invented world: of one fact, of two and of three."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import TypeAlias

from whetstone.tasks.fiction.facts import Invention
from whetstone.tasks.task import Facts

Found: TypeAlias = tuple[list[str], str]  # what the document says on the way, and the answer


class Asking(Invention):
    """Kinds of questions. Each has two wordings, what it asks about, and a way to find its answer.

    What a question is about is H, a house; P, a person; F, a founder; A, a person who admired a founder; HH, two
    houses; HHH, three; PP, two people.
    """

    questions: Mapping[str, tuple[str, str, str]] = {
        "founder": ("H", "Who founded {0}?", "Name the founder of {0}."),
        "town": ("H", "In which town did {0} open?", "Name the town of {0}."),
        "opened": (
            "H",
            "On what date (day month year) did {0} open?",
            "Give the date (day month year) when {0} opened.",
        ),
        "stock": ("H", "How many {1} did {0} have?", "What number of {1} did {0} hold?"),
        "born": ("P", "In which year was {0} born?", "Give the year of birth of {0}."),
        "home": ("P", "In which town was {0} born?", "Name the town where {0} was born."),
        "admired": ("P", "Whom did {0} admire most?", "Name the person whom {0} admired most."),
        "founder home": (
            "H",
            "In which town was the founder of {0} born?",
            "Name the town where the founder of {0} was born.",
        ),
        "founder admired": ("H", "Whom did the founder of {0} admire most?", "Who was admired by the founder of {0}?"),
        "founder born": (
            "H",
            "In which year was the founder of {0} born?",
            "Give the year of birth of the founder of {0}.",
        ),
        "house town": (
            "F",
            "In which town did the house founded by {0} open?",
            "Name the town where {0} founded a house.",
        ),
        "founder age": (
            "H",
            "How many years before {0} opened was its founder born?",
            "How many years lie between the birth of the founder of {0} and its opening?",
        ),
        "openings": (
            "HH",
            "How many years apart did {0} and {1} open?",
            "Give the number of years between the openings of {0} and {1}.",
        ),
        "births": (
            "PP",
            "How many years apart were {0} and {1} born?",
            "By how many years do the ages of {0} and {1} differ?",
        ),
        "more": (
            "HH",
            "How many more {2} did {0} have than {1} had {3}?",
            "By how much did the {2} of {0} outnumber the {3} of {1}?",
        ),
        "admired home": (
            "H",
            "In which town was the person born whom the founder of {0} admired most?",
            "The founder of {0} admired one person most. Name the town where that person was born.",
        ),
        "admired born": (
            "H",
            "In which year was the person born whom the founder of {0} admired most?",
            "The founder of {0} admired one person most. Give that person's year of birth.",
        ),
        "admired stock": (
            "A",
            "The person whom {0} admired most founded a house. What number of things did it hold?",
            "How many things were kept in the house whose founder {0} admired most?",
        ),
        "founders": (
            "HH",
            "How many years apart were the founders of {0} and {1} born?",
            "By how many years do the ages of the founders of {0} and {1} differ?",
        ),
        "total": (
            "HHH",
            "How many {3}, {4} and {5} did {0}, {1} and {2} have together?",
            "Add the numbers of {3} in {0}, of {4} in {1} and of {5} in {2}. What is the sum?",
        ),
    }
    facts_needed: Mapping[int, tuple[str, ...]] = {
        1: ("founder", "town", "opened", "stock", "born", "home", "admired"),
        2: (
            "founder home",
            "founder admired",
            "founder born",
            "house town",
            "founder age",
            "openings",
            "births",
            "more",
        ),
        3: ("admired home", "admired born", "admired stock", "founders", "total"),
    }

    def askable(self, facts: Facts, needed: int, rng: random.Random) -> Iterator[dict[str, list[str]]]:
        """Questions of so many facts in random order, each kind once and then what is left: the first few differ in
        kind. Houses that opened in one year are not asked how far apart they opened.
        """
        left: list[dict[str, list[str]]] = []
        for kind in rng.sample(self.facts_needed[needed], len(self.facts_needed[needed])):
            subjects = self._subjects(facts, self.questions[kind][0])
            if kind == "openings":
                years = {name: self.year(house["opened"]) for name, house in facts["houses"].items()}
                subjects = [[one, other] for one, other in subjects if years[one] != years[other]]
            rng.shuffle(subjects)
            asks = [{kind: subject} for subject in subjects]
            left += asks[1:]
            yield from asks[:1]
        rng.shuffle(left)
        yield from left

    @staticmethod
    def _subjects(facts: Facts, about: str) -> list[list[str]]:
        houses, people = facts["houses"], facts["people"]
        founders = [house["founder"] for house in houses.values()]
        if about in ("HH", "HHH"):
            subjects = [list(names) for names in combinations(houses, len(about))]
            if about == "HH":  # the larger stock first: a difference is never negative
                subjects = [sorted(pair, key=lambda name: -houses[name]["stock"]) for pair in subjects]
            return subjects
        if about == "PP":
            return [list(names) for names in combinations(people, 2)]
        if about == "A":
            return [[name] for name, person in people.items() if person["admired"] in founders]
        return [[name] for name in {"H": list(houses), "P": list(people), "F": founders}[about]]

    def asked(self, facts: Facts, ask: Mapping[str, list[str]], rng: random.Random) -> str:
        """The question in one of its wordings."""
        ((kind, subject),) = ask.items()
        about, *wordings = self.questions[kind]
        names = [self.titled(facts, name) if about.startswith("H") else name for name in subject]
        things = [self.stocked(facts, name) for name in subject] if about.startswith("H") else []
        return rng.choice(wordings).format(*names, *things)

    def found(self, facts: Facts, ask: Mapping[str, list[str]]) -> Found:
        """Look the answer up."""
        ((kind, subject),) = ask.items()
        if kind in self.facts_needed[1]:
            return self._one(facts, kind, subject[0])
        if kind in ("openings", "births", "more", "founders", "total"):
            return self._compared(facts, kind, subject)
        follow: dict[str, Callable[[Facts, str], Found]] = {
            "founder home": lambda facts, name: self._path(facts, name, "founder", "home"),
            "founder admired": lambda facts, name: self._path(facts, name, "founder", "admired"),
            "founder born": lambda facts, name: self._path(facts, name, "founder", "born"),
            "house town": lambda facts, name: self._path(facts, name, "house", "town"),
            "admired home": lambda facts, name: self._path(facts, name, "founder", "admired", "home"),
            "admired born": lambda facts, name: self._path(facts, name, "founder", "admired", "born"),
            "admired stock": lambda facts, name: self._path(facts, name, "admired", "house", "stock"),
            "founder age": self._age,
        }
        return follow[kind](facts, subject[0])

    def _one(self, facts: Facts, kind: str, name: str) -> Found:
        """One fact of a house or a person; "house" is the one that a person founded."""
        if kind == "house":
            answer = next(house for house, about in facts["houses"].items() if about["founder"] == name)
            return [f"{name} founded {self.titled(facts, answer)}"], answer
        if name in facts["houses"]:
            answer, name = str(facts["houses"][name][kind]), self.titled(facts, name)
        else:
            answer = str(facts["people"][name]["town" if kind == "home" else kind])
        said = {"founder": "was founded by", "town": "opened in", "opened": "opened on", "stock": "had"}
        said |= {"born": "was born in", "home": "was born in", "admired": "admired"}
        return [f"{name} {said[kind]} {answer}"], answer

    def _path(self, facts: Facts, name: str, *kinds: str) -> Found:
        steps: list[str] = []
        for kind in kinds:
            more, name = self._one(facts, kind, name)
            steps += more
        return steps, name

    def _age(self, facts: Facts, house: str) -> Found:
        first, born = self._path(facts, house, "founder", "born")
        second, opened = self._one(facts, "opened", house)
        years = self.year(opened) - int(born)
        return [*first, *second, f"{self.year(opened)} minus {born} makes {years}"], str(years)

    def _compared(self, facts: Facts, kind: str, subject: list[str]) -> Found:
        """A difference of two numbers, or the sum of three."""
        path = {"openings": ("opened",), "births": ("born",), "founders": ("founder", "born")}.get(kind, ("stock",))
        found = [self._path(facts, name, *path) for name in subject]
        steps = [step for more, _ in found for step in more]
        numbers = [self.year(value) for _, value in found]  # the last word of a date, or the number itself
        if kind == "total":
            return [*steps, f"{' plus '.join(map(str, numbers))} makes {sum(numbers)}"], str(sum(numbers))
        large, small = max(numbers), min(numbers)
        return [*steps, f"{large} minus {small} makes {large - small}"], str(large - small)
