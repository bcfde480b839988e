"""Sentences of an invented language: its words and its order are stated, a sentence is to be said in it."""

from __future__ import annotations

import random
from typing import Any

from whetstone.tasks.task import Facts
from whetstone.tasks.worlds.world import Solution, WordWorld


class Language(WordWorld):
    """Level n: a sentence of three words; then with one adjective, with two, and with words for plural and past."""

    wordings = ("primer", "traveller", "inscription")
    instruction = "Reply with the words of the sentence only."
    max_new_tokens = 56
    nouns = ("dog", "cat", "bird", "horse", "farmer", "king", "sailor", "girl", "boy", "bear", "cook", "goat")
    verbs = ("see", "follow", "help", "hear", "find", "call", "teach", "guard")
    pasts = ("saw", "followed", "helped", "heard", "found", "called", "taught", "guarded")
    adjectives = ("old", "young", "big", "small", "happy", "hungry", "quiet", "proud")

    def draw(self, rng: random.Random, level: int) -> dict[str, Any]:
        nouns, verbs, adjectives = rng.sample(self.nouns, 3), rng.sample(self.verbs, 2), rng.sample(self.adjectives, 2)
        if level == 1:
            adjectives = []
        meanings = [*nouns, *verbs, *adjectives]
        words = self.invented(rng, len(meanings) + 2)
        order = rng.sample(("subject", "verb", "object"), 3)
        facts: dict[str, Any] = {"words": self.shuffled(rng, dict(zip(meanings, words, strict=False))), "order": order}
        sentence: dict[str, Any] = {"subject": [nouns[0]], "verb": verbs[0], "object": [nouns[1]]}
        if level > 1:
            facts["adjective"] = rng.choice(("before", "after"))
            sentence["subject" if level > 2 or rng.random() < 0.5 else "object"].insert(0, adjectives[0])
        if level > 2:
            sentence["object"].insert(0, adjectives[1])
        if level > 3:
            facts["plural"], facts["past"] = words[-2], words[-1]
            facts["many"] = rng.choice(("subject", "object"))
        return {**facts, "sentence": sentence}

    def english(self, facts: Facts) -> str:
        """The sentence that is to be translated."""
        many, verb = facts.get("many"), facts["sentence"]["verb"]
        phrases = {
            part: f"the {' '.join(facts['sentence'][part])}{'s' if part == many else ''}"
            for part in ("subject", "object")
        }
        said = self.pasts[self.verbs.index(verb)] if "past" in facts else self._present(verb)
        return f"{phrases['subject']} {said} {phrases['object']}"

    @staticmethod
    def _present(verb: str) -> str:
        return f"{verb}es" if verb.endswith("ch") else f"{verb}s"

    def told(self, facts: Facts, wording: str) -> str:
        first, second, third = facts["order"]
        english, meanings = self.english(facts), list(facts["words"].items())
        if wording == "primer":
            form, opening = "{} = {}", "From a primer of a new language:"
            rules = f"The {first} comes first, then the {second}, then the {third}."
            asked = f'Say in this language: "{english}".'
        elif wording == "traveller":
            form, opening = "they say {1} for {0}", "A traveller notes how people speak."
            rules = f"They begin with the {first}, go on with the {second} and close with the {third}."
            asked = f'How do they say "{english}"?'
        else:
            form, opening = "{1} means {0}", "Scholars read an old inscription:"
            rules = f"In its sentences the {third} stands last, the {first} first and the {second} between."
            asked = f'Write "{english}" as the inscription would.'
        words = "; ".join(form.format(*pair) for pair in meanings)
        return f'{opening} {words}. There is no word for "the". {rules}{self._further(facts)} {asked}'

    @staticmethod
    def _further(facts: Facts) -> str:
        text = ""
        if "adjective" in facts:
            text += f" An adjective stands right {facts['adjective']} its noun."
        if "past" in facts:
            text += (
                f" For the plural, the word {facts['plural']} is put in front of all the words of the subject or "
                f"object. Verbs do not change; the past is shown by the word {facts['past']} at the very end."
            )
        return text

    def solve(self, facts: Facts) -> Solution:
        words, sentence = facts["words"], facts["sentence"]
        parts, steps = {"verb": [words[sentence["verb"]]]}, []
        for part in ("subject", "object"):
            said = [words[word] for word in sentence[part]]
            if facts.get("adjective") == "after":
                said.reverse()
            parts[part] = [facts["plural"], *said] if facts.get("many") == part else said
        for part in facts["order"]:
            steps.append(f"the {part} {' '.join(parts[part])}")
        said = [word for part in facts["order"] for word in parts[part]]
        if "past" in facts:
            said.append(facts["past"])
            steps.append(f"the past {facts['past']}")
        return Solution(steps, " ".join(said))
