"""A machine of invented states that reads letters."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Automaton(WordWorld):
    """Level n: the state after 1, 3, 5 or 8 letters in a machine of 6, 6, 7 or 7 states.

    Each letter leads to every state from exactly one, so that no state is a better guess than another.
    """

    wordings = ("machine", "rooms", "moods")
    letters = "bcdfghjklmnpqrstvwz"

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        states = self.invented(rng, (6, 6, 7, 7)[level - 1])
        letters = rng.sample(self.letters, 2)
        targets = {letter: rng.sample(states, len(states)) for letter in letters}
        moves = {state: {letter: targets[letter][i] for letter in letters} for i, state in enumerate(states)}
        facts = {"moves": moves, "start": rng.choice(states)}
        return {**facts, "word": [rng.choice(letters) for _ in range((1, 3, 5, 8)[level - 1])]}

    def told(self, facts: Facts, wording: str) -> str:
        start, word = facts["start"], " ".join(facts["word"])
        form, opening, asked = {
            "machine": (
                "in {} the letter {} leads to {}",
                "A machine has states and reads letters:",
                f"It starts in {start} and reads {word}. In which state does it end?",
            ),
            "rooms": (
                "from {} door {} opens into {}",
                "A house has rooms, and each room has doors marked with letters:",
                f"A guest stands in {start} and takes the doors {word}, one after the other. "
                "In which room does the guest end up?",
            ),
            "moods": (
                "a {} creature that hears {} turns {}",
                "A creature changes its mood by what it hears:",
                f"The creature feels {start} and hears {word}, in this order. What mood has it then?",
            ),
        }[wording]
        rules = [form.format(state, letter, to) for state, row in facts["moves"].items() for letter, to in row.items()]
        return f"{opening} {'; '.join(rules)}. {asked}"

    def solve(self, facts: Facts) -> Solution:
        state, steps = facts["start"], []
        for letter in facts["word"]:
            state = facts["moves"][state][letter]
            steps.append(f"{letter} to {state}")
        return Solution(steps, state)
