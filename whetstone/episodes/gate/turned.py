"""Whether a line turns what was said round: a "not" too many or too few, an opposite, two numbers exchanged.

Words are compared by their stems and sentences by the words that they share: a veto, in English, that knows no grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from whetstone.episodes.gate.quantities import is_number, is_unit, placed, quantities
from whetstone.episodes.lexicon import CONVERSES, OPPOSITES, carries, content, negates, stem
from whetstone.episodes.normal import tokens

# a line is held against a sentence for negation where at least this share of its words of content is there
_SAME_MATTER = 0.5
# a negation governs the next word of content within so many tokens
_SCOPE = 5
_CLAUSE = re.compile(r"[,;:.!?\u2014]+(?=\s|$)|\s(?:and|but|or|while|whereas|than)\s")


def turned_round(text: str, sentences: Sequence[str]) -> str:
    """The word that is denied in `text` and nowhere in the sentences, or in all of them and not in `text`; "" if there
    is none or no sentence has most of the matter. One of several ways to say "not" ("fails to") is not read."""
    line = tokens(text)
    stems = set(content(line))
    said = [set(content(tokens(sentence))) for sentence in sentences]
    same = [bool(stems) and len(stems & there) / len(stems) >= _SAME_MATTER for there in said]
    turned = [denied(tokens(sentence)) for sentence in sentences]
    denied_here, denies = denied(line), any(map(negates, line))
    for word in sorted(stems):
        places = [index for index, there in enumerate(said) if word in there]
        if not any(same[index] for index in places):
            continue
        if not denies and all(word in turned[index] for index in places):
            return word
        if word in denied_here and not any(word in turned[index] for index in places):
            matter = [tokens(sentences[index]) for index in places]
            silent = not any(negates(token) for sentence in matter for token in sentence)
            if silent or (len(denied_here) == 1 and _affirmed(word, matter)):
                return word
    return ""


def opposed(text: str, sentences: Sequence[str], strict: bool = False) -> str:
    """The first word (its stem) of `text` that nobody says, in this word or one that means the same, while an opposite
    is said, which `text` does not have; "" if there is none. Where either side denies anything, nothing is known.

    strict: words that only exclude each other in the same place of a sentence count too ("before" and "after"), and
    whatever is denied: for where a refusal too many is no loss.
    """
    line, said = tokens(text), [token for sentence in sentences for token in tokens(sentence)]
    if not strict and (any(map(negates, line)) or any(map(negates, said))):
        return ""
    numbers = {place for _, first, end in placed(text) for place in range(first, end)}  # "half" is compared as one
    here = {stem(token) for place, token in enumerate(line) if place not in numbers}
    there = set(map(stem, said))
    for own, opposites in (*OPPOSITES, *CONVERSES) if strict else OPPOSITES:
        if here & own and not there & own and there & opposites and not here & opposites:
            return min(here & own)
    return ""


def exchanged(text: str, sentences: Sequence[str]) -> str:
    """The first of two numbers in `text` that stand with each other's words: all that tells them apart in the sentences
    is on the wrong side. "" if there are none."""
    here, there = _beside([text]), _beside(sentences)
    for one, other in combinations((number for number in here if number in there), 2):
        of_one, of_other = there[one] - there[other], there[other] - there[one]
        straight = (here[one] & of_one) | (here[other] & of_other)
        crossed = (here[one] & of_other) | (here[other] & of_one)
        if crossed and not straight:
            return f"{float(one):g}"
    return ""


def _beside(sentences: Iterable[str]) -> dict[Fraction, set[str]]:
    """Of each number the stems of the words in its clauses; clauses with several numbers tell nothing."""
    found: dict[Fraction, set[str]] = {}
    for sentence in sentences:
        for clause in _CLAUSE.split(sentence):
            values = {each.value for each in quantities(clause) if not each.loose}
            if len(values) == 1:
                words = (t for t in tokens(clause) if carries(t) and not is_number(t) and not is_unit(t))
                found.setdefault(values.pop(), set()).update(map(stem, words))
    return found


def denied(line: Sequence[str]) -> set[str]:
    """The stems that negations in a line (tokens) govern: of each, the first word of content after it."""
    found = set()
    for index, token in enumerate(line):
        if negates(token):
            governed = next((t for t in line[index + 1 : index + 1 + _SCOPE] if carries(t)), None)
            if governed:
                found.add(stem(governed))
    return found


def _affirmed(word: str, sentences: Iterable[Sequence[str]]) -> bool:
    """Whether some sentence says the word before it denies anything."""
    for sentence in sentences:
        for token in sentence:
            if negates(token):
                break
            if carries(token) and stem(token) == word:
                return True
    return False
