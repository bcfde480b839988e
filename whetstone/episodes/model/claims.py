"""Which claims a source could settle, and what a claim says when it stands alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from whetstone.episodes.content import Quote
from whetstone.episodes.names import common
from whetstone.episodes.normal import tokens

_OPINION = re.compile(
    r"\b(i (?:think|feel|believe|guess|hope|love|like|wish)|in my (?:opinion|view)|should|maybe|perhaps|might|probably|"
    r"imagine|suppose|if (?:i|we|you)|would be|best|worst|beautiful|funny)\b",
    re.IGNORECASE,
)
# what is true or not depends on the day that it is said on
_WHEN = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|nowadays|currently|recently|right now|at the moment|"
    r"(?:last|this|next) (?:year|month|week|weekend|season|spring|summer|autumn|fall|winter|decade|century)|"
    r"(?:years?|months?|weeks?|days?|decades?) (?:ago|from now))\b",
    re.IGNORECASE,
)
_POINTS = re.compile("he|she|it|they|this|that|these|those|his|her|its|their|him|them|here|we|our")
_OURS = re.compile("we(?:'(?:re|ve|d|ll))?|ours?|my|i'(?:m|ve|d|ll)")
_SAYS = re.compile("says?|said|claim(?:s|ed)|argue[sd]|state[sd]|explain(?:s|ed)|note[sd]")


def checkable(text: str) -> bool:
    """Whether a claim states something that a source could settle: no opinion, hypothesis or wish; something definite
    in it, a number or a name; and no "I", "it" or "last year" that only the conversation explains."""
    words = text.split()
    definite = any(any(c.isdigit() for c in word) for word in words) or any(word[0].isupper() for word in words[1:])
    if _OPINION.search(text) or not definite or len(words) < 4 or text.rstrip().endswith("?"):
        return False
    return not _WHEN.search(text) and not _points(words)


def _points(words: Sequence[str]) -> bool:
    """Whether it begins with a word that points at another sentence, or speaks of "I" or "we"."""
    first = tokens(words[0])[:1]
    if first and _POINTS.fullmatch(first[0].split("'")[0]):
        return True
    if any(_OURS.fullmatch(token) for word in words for token in tokens(word)):
        return True
    # "World War I" is a number
    return any(word == "I" and not (at and words[at - 1][:1].isupper()) for at, word in enumerate(words))


def claim_id(text: str) -> str:
    """What a dismissal is remembered by: the same words, the same claim."""
    return hashlib.sha256(" ".join(tokens(text)).encode()).hexdigest()[:16]


def to_check(claims: Sequence[tuple[str, Quote]], dismissed: frozenset[str] = frozenset()) -> dict[str, str]:
    """The claims that evidence is looked for, id -> text, in order."""
    unique: dict[str, str] = {}
    for text, _ in claims:
        unique.setdefault(claim_id(text), text)
    return {name: text for name, text in unique.items() if checkable(text) and name not in dismissed}


def alone(text: str, speaker: str) -> str:
    """A claim without "Ada Lovelace says that" before it: who said so is no part of what could be true."""
    words = text.split()
    named = {token for token in tokens(speaker) if not common(token)}
    for at, word in enumerate(words[:5]):
        if _SAYS.fullmatch("".join(tokens(word)[:1])):
            before = {token for each in words[:at] for token in tokens(each)}
            rest = words[at + 1 :]
            rest = rest[1:] if rest and rest[0].lower() == "that" else rest
            return " ".join(rest) if before and before <= named and len(rest) >= 3 else text
    return text
