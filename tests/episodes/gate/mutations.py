"""False quotes made from true ones, and true ones in other dress; and an oracle that knows which is which.

The oracle shares nothing with the gate: it reads plain English only, compares word lists position by position, and
knows nothing of normal forms. A mutation that happens to be a true quote (swapping "the" with "the") is left out by it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from whetstone.episodes.transcript import Transcript

_NOT = {"not", "never", "no", "nobody", "nothing"}
_HEDGES = ("i think", "i believe", "i probably", "probably", "roughly", "about", "mostly", "may", "usually", "almost")
_SMALL = ["two", "three", "four", "five", "six", "nine", "eleven", "fifteen", "eighteen", "forty", "twelve", "hundred"]


@dataclass(frozen=True)
class Proposal:
    """What a model might send: words, perhaps a speaker. `kind` says how it was made."""

    kind: str
    text: str
    speaker: str = ""


class Oracle:
    """Whether words were said, by brute force."""

    def __init__(self, transcript: Transcript) -> None:
        self._said = [
            (plain, word.speaker, index)
            for index, word in enumerate(transcript.words)
            for plain in plain_words(word.text)
        ]
        self._places: dict[str, list[int]] = {}
        for place, (plain, _, _) in enumerate(self._said):
            self._places.setdefault(plain, []).append(place)
        self._text = transcript.text(0, len(transcript.words))
        self._times = [(word.start, word.end) for word in transcript.words]

    def true(self, proposal: Proposal) -> bool:
        """Whether somewhere one person says exactly these words, whole and without a break of three seconds."""
        # an ellipsis or a bracket is true only where the transcript has that very one
        if re.search(r"…|\.\.|\[|\]|\. \.", proposal.text) and proposal.text not in self._text:
            return False
        sought = [plain for word in proposal.text.split() for plain in plain_words(word)]
        for start in self._places.get(sought[0], ()) if sought else ():
            found = self._said[start : start + len(sought)]
            if [plain for plain, _, _ in found] != sought:
                continue
            before = self._said[start - 1][2] if start else -1
            after = self._said[start + len(sought)][2] if start + len(sought) < len(self._said) else -1
            whole = before != found[0][2] and after != found[-1][2]
            speakers = {speaker for _, speaker, _ in found}
            if whole and len(speakers) == 1 and self._unbroken(found[0][2], found[-1][2]):
                (speaker,) = speakers
                if not proposal.speaker or proposal.speaker == speaker:
                    return True
        return False

    def _unbroken(self, first: int, last: int) -> bool:
        times = self._times[first : last + 1]
        for (_, end), (start, _) in pairwise(times):
            if end is not None and start is not None and start - end >= 3:
                return False
        return True


def plain_words(word: str) -> list[str]:
    """An English word in small letters without punctuation; "%" as a word; a hyphen parts words."""
    word = word.lower().replace("’", "'").replace("–", "-").replace("—", "-").replace("%", " percent ")
    word = re.sub(r"(?<=\d),(?=\d{3}\b)", "", word)
    parts = re.split(r"[\s\-/]+", word)
    stripped = (re.sub(r"^[^\w$£.]+|[^\w]+$", "", part).lstrip(".") for part in parts)
    return [part for part in stripped if part]


def true_spans(transcript: Transcript, count: int, seed: int, longest: int = 40) -> Iterator[tuple[int, int]]:
    """Spans of eight words or more inside one turn without a pause of three seconds."""
    draw = random.Random(seed)
    words = transcript.words
    made = 0
    while made < count:
        first = draw.randrange(len(words) - 8)
        end = min(first + draw.randint(8, longest), len(words))
        if len({word.speaker for word in words[first:end]}) == 1:
            made += 1
            yield first, end


def dressed(text: str, draw: random.Random) -> str:
    """The same words with other capitals, quotation marks, dashes, commas and spaces."""
    words = []
    for word in text.split():
        if draw.random() < 0.3:
            word = re.sub(r"[,.;:?!]+$", "", word)
        elif draw.random() < 0.15 and word[-1].isalnum():
            word += draw.choice([",", ";", ".", "!", " –", " —"])
        if draw.random() < 0.15:
            word = draw.choice([word.upper(), word.capitalize(), word.lower()])
        word = word.replace("'", draw.choice(["'", "’", "ʼ"]))
        if re.fullmatch(r"\d{1,3}%[.,]?", word):
            word = draw.choice([word, word.replace("%", " %"), word.replace("%", " percent")])
        if re.search(r"\d,\d{3}", word) and draw.random() < 0.5:
            word = word.replace(",", "", 1)
        words.append(word)
    joined = draw.choice([" ", "  ", "\u00a0", "\n"]).join(words)
    opening, closing = draw.choice(["“”", '""', "«»", "‘’", "„“", "''"])
    return draw.choice([joined, opening + joined + closing, opening + joined + "," + closing])


def mutated(transcript: Transcript, count: int, seed: int) -> list[Proposal]:
    """`count` false quotes of every kind, those that happen to be true left out."""
    oracle, draw = Oracle(transcript), random.Random(seed)
    vocabulary = [word.text for word in transcript.words]
    found: list[Proposal] = []
    spans = true_spans(transcript, 100 * count, seed)
    kinds = [*_BY_WORDS, "stitched", "wrong speaker", "two turns"]
    while len(found) < count:
        kind = kinds[len(found) % len(kinds)]
        proposal = None
        while proposal is None or oracle.true(proposal):
            proposal = _made(kind, transcript, next(spans), vocabulary, draw)
        found.append(proposal)
    return found


def _made(
    kind: str, transcript: Transcript, span: tuple[int, int], vocabulary: list[str], draw: random.Random
) -> Proposal | None:
    first, end = span
    words = [word.text for word in transcript.words[first:end]]
    if kind == "wrong speaker":
        others = sorted({word.speaker for word in transcript.words} - {transcript.words[first].speaker})
        return Proposal(kind, " ".join(words), draw.choice(others)) if others else None
    if kind == "stitched":
        other = draw.randrange(len(transcript.words) - 8)
        tail = [word.text for word in transcript.words[other : other + draw.randint(4, 12)]]
        return Proposal(kind, " ".join(words[: draw.randint(4, len(words))] + tail))
    if kind == "two turns":
        borders = [s.first for s in transcript.segments[1:] if s.speaker != transcript.segments[s.id - 1].speaker]
        border = draw.choice(borders)
        begin, stop = max(0, border - draw.randint(1, 9)), border + draw.randint(5, 12)
        return Proposal(kind, " ".join(word.text for word in transcript.words[begin:stop]))
    changed = _BY_WORDS[kind](list(words), vocabulary, draw)
    return Proposal(kind, " ".join(changed)) if changed and len(changed) >= 6 else None


def _swap(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    words[draw.randrange(len(words))] = draw.choice(vocabulary)
    return words


def _drop_not(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    places = [i for i, word in enumerate(words) if word.lower().strip(".,") in _NOT or "n't" in word]
    if not places:
        return None
    place = draw.choice(places)
    if "n't" in words[place]:
        words[place] = {"can't": "can", "won't": "will"}.get(words[place], words[place].replace("n't", ""))
    elif 0 < place < len(words) - 1:
        del words[place]
    else:
        return None
    return words


def _add_not(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    words.insert(draw.randrange(1, len(words)), "not")
    return words


def _number(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    places = [i for i, w in enumerate(words) if any(c.isdigit() for c in w) or w.lower().strip(".,") in _SMALL]
    if not places:
        return None
    place = draw.choice(places)
    word = words[place]
    digits = [i for i, c in enumerate(word) if c.isdigit()]
    if not digits:
        words[place] = draw.choice(_SMALL)
    elif draw.random() < 0.3 and "." in word.strip("."):
        words[place] = word.replace(".", "", 1)
    elif draw.random() < 0.2:
        words[place] = "-" + word
    else:
        at = draw.choice(digits)
        words[place] = word[:at] + str((int(word[at]) + draw.randint(1, 9)) % 10) + word[at + 1 :]
    return words


def _ellipsis(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    at = draw.randrange(1, len(words) - 1)
    if draw.random() < 0.5:
        del words[at : at + draw.randint(1, 3)]
    words.insert(at, draw.choice(["…", "...", "[…]", ". . .", "[...]", "(...)"]))
    return words


def _hedge(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    small = [word.lower().strip(".,") for word in words]
    for hedge in sorted(_HEDGES, key=lambda _: draw.random()):
        size = len(hedge.split())
        for at in range(1, len(words) - size):
            if " ".join(small[at : at + size]) == hedge:
                return words[:at] + words[at + size :]
    return None


def _skip(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    at = draw.randrange(1, len(words) - 1)
    del words[at : at + draw.randint(1, 3)]
    return words


def _order(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    at = draw.randrange(len(words) - 1)
    words[at], words[at + 1] = words[at + 1], words[at]
    return words


def _inserted(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    words.insert(draw.randrange(1, len(words)), draw.choice(["really", "always", "[the]", "very", "(laughs)", "many"]))
    return words


def _ending(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    at = draw.randrange(len(words))
    core = words[at].rstrip(".,?!")
    if not core.isalpha() or len(core) < 3:
        return None
    words[at] = core[:-1] if draw.random() < 0.5 else core + draw.choice(["s", "ed", "n't"])
    return words


def _glued(words: list[str], vocabulary: list[str], draw: random.Random) -> list[str] | None:
    at = draw.randrange(len(words) - 1)
    # "water,weight" is a missing space, not another word
    if not words[at][-1].isalnum() or not words[at + 1][0].isalnum():
        return None
    words[at : at + 2] = [words[at] + words[at + 1]]
    return words


_BY_WORDS: dict[str, Callable[[list[str], list[str], random.Random], list[str] | None]] = {
    "swapped word": _swap,
    "dropped not": _drop_not,
    "added not": _add_not,
    "changed number": _number,
    "ellipsis": _ellipsis,
    "trimmed hedge": _hedge,
    "skipped words": _skip,
    "changed order": _order,
    "inserted word": _inserted,
    "changed ending": _ending,
    "glued words": _glued,
}
