"""Documents: the same facts in several voices."""

from __future__ import annotations

import random
from collections.abc import Mapping

from whetstone.tasks.fiction.facts import Invention
from whetstone.tasks.task import Facts


class Telling(Invention):
    """Writes a document of 80 to 250 words. Each voice has two ways to tell of a house and two to tell of a person.

    No sentence has "is", "are" or a colon: a reader of answers who is given the document must find none in it.
    """

    voices: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
        "chronicle": (
            "This chronicle tells of houses and people of a land that no map shows.",
            (
                "On {opened} {title} opened in {town}; its founder, {founder}, had filled it with {stock} {things}.",
                "{founder} founded {title}, which opened in {town} on {opened} and kept {stock} {things}.",
            ),
            (
                "{person} came from {town}, where the birth was entered in the year {born}, and admired {admired} "
                "above all others.",
                "In the year {born} {person} was born in {town}; no one did {person} admire as much as {admired}.",
            ),
        ),
        "letter": (
            "Dear friend, you asked me what I learned on my journey, so here I write it down as I heard it.",
            (
                "In {town} I stood before {title}, founded by {founder}; they told me that it opened on {opened} and "
                "that I would find {stock} {things} there.",
                "I counted {stock} {things} in {title}, a work of {founder}; {town} celebrated when it opened on "
                "{opened}.",
            ),
            (
                "{person}, as a neighbour told me, was born in {town} in {born} and admired {admired} most of all.",
                "They still speak of {person}, a child of {town}, born in {born}, who admired {admired} more than "
                "anyone.",
            ),
        ),
        "guide": (
            "A short guide for visitors, with the houses worth a visit and the people whose names you will hear.",
            (
                "{title}, {town}. Founder {founder}. Opened on {opened}. Visitors find {stock} {things} inside.",
                "In {town} visit {title} with its {stock} {things}, a gift of {founder}, who saw it open on {opened}.",
            ),
            (
                "{person}, born {born} in {town}. Of all people, {person} admired {admired} most.",
                "The town of {town} gave the land {person}, who was born in {born} and admired {admired} above all.",
            ),
        ),
    }

    def document(self, facts: Facts, rng: random.Random) -> str:
        """Everything that the facts hold of houses and people, in one voice and in random order."""
        opening, of_houses, of_people = self.voices[rng.choice(sorted(self.voices))]
        sentences = []
        for name, house in facts["houses"].items():
            slots = {**house, "title": self.titled(facts, name), "things": self.stocked(facts, name)}
            sentences.append(rng.choice(of_houses).format(**slots))
        for name, person in facts["people"].items():
            sentences.append(rng.choice(of_people).format(person=name, **person))
        rng.shuffle(sentences)
        return " ".join([opening, *(sentence[0].upper() + sentence[1:] for sentence in sentences)])
