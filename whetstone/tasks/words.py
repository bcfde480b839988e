"""Tasks on words: counting a letter, and reversing the order of words."""

from __future__ import annotations

import random

from whetstone.tasks.answers import judge_words
from whetstone.tasks.arithmetic import IntegerTask
from whetstone.tasks.task import Facts, Problem, Task, Verdict


class WordTask(Task):
    """A task that draws from one vocabulary, which stands in the class so that `version` covers it."""

    vocabulary = tuple(
        """
        apple river stone window garden letter summer bottle coffee dinner engine flower guitar hammer
        island jacket kitchen ladder market needle orange pencil rabbit saddle tunnel umbrella valley wagon
        yellow zebra anchor basket candle desert eagle feather glacier harbor insect jungle kettle lemon
        mirror napkin ocean parrot quilt ribbon silver tomato uncle velvet walnut banana blanket bridge
        butter button cabbage camera carpet castle cheese cherry circle cotton cousin dragon drawer elbow
        elephant fabric farmer finger forest fossil funnel galaxy ginger goose grape hockey honey hotel
        igloo jelly jewel kangaroo kitten lantern leopard lizard lobster magnet marble meadow melon monkey
        morning muffin museum mustard nickel noodle nugget oyster paddle palace pancake panther paper pepper
        piano pickle pillow pirate planet pocket potato powder prairie puddle pumpkin puppet puzzle python
        radish rocket sailor salmon sandal school scissors shadow shovel spider spinach spoon squirrel
        station strawberry sunset sweater table teacher temple thunder ticket tiger timber toaster tractor
        trumpet turtle violin volcano waffle walrus water weather whistle willow winter wizard wolf wrench
        balloon barrel beetle bicycle biscuit blossom bucket buffalo butterfly cactus canyon caramel carrot
        cellar chapter chimney cinnamon cobbler compass copper cottage cricket crystal curtain diamond
        dolphin donkey doorbell falcon fiddle freckle garlic giraffe hamster hazelnut jasmine journal lagoon
        lettuce locket mammoth mitten mosquito orchard
        """.split()  # noqa: SIM905 (210 quoted words would fill the page)
    )


class Letters(WordTask, IntegerTask):
    """Level n: how often a letter occurs in n words. One time in six the letter does not occur."""

    levels = tuple(range(1, 9))

    def sample(self, seed: bytes, level: int) -> Problem:
        rng = random.Random(seed)
        text = " ".join(rng.sample(self.vocabulary, level))
        present = text.replace(" ", "")
        absent = sorted(set("abcdefghijklmnopqrstuvwxyz") - set(present))
        # A letter is chosen by its place, so that frequent letters are asked for more often and "1" is a
        # worse guess.
        letter = rng.choice(absent) if absent and rng.random() < 1 / 6 else rng.choice(present)
        kind = "word" if level == 1 else "words"
        question = f'How many times does the letter "{letter}" appear in the {kind} "{text}"?'
        return Problem(question, {"text": text, "letter": letter})

    def gold(self, facts: Facts) -> int:
        return int(facts["text"].count(facts["letter"]))

    def worked(self, problem: Problem) -> str:
        """Letter by letter: small models see words, not letters."""
        spelled = " / ".join(" ".join(word) for word in problem.facts["text"].split())
        return f"{spelled}: the count is {self.gold(problem.facts)}"


class Reversal(WordTask):
    """Level n: n + 1 different words in reverse order."""

    levels = tuple(range(1, 11))
    instruction = "Reply with the reversed words only."
    max_new_tokens = 48

    def sample(self, seed: bytes, level: int) -> Problem:
        words = random.Random(seed).sample(self.vocabulary, level + 1)
        return Problem(f"Write these words in reverse order: {' '.join(words)}.", {"words": words})

    def check(self, problem: Problem, text: str) -> Verdict:
        return judge_words(text, problem.facts["words"][::-1])

    def answer(self, problem: Problem) -> str | None:
        return " ".join(problem.facts["words"][::-1])
