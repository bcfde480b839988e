"""Titles of chapters without a model: the question that opens a chapter, where one does, else the phrases that are said
there and not elsewhere."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from whetstone.episodes.extract.questions import asks_openly, question_text
from whetstone.episodes.lexicon import BEFORE_NOUNS, BEFORE_OTHERS, HESITATION, VAGUE, carries, stem
from whetstone.episodes.names import Names, capital
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

_LONGEST = 3  # words of a phrase
_LEAD = 150  # words at the beginning of a chapter: what is said there says more of what it is about
_LEAD_WEIGHT = 2.0
_QUESTION_WORDS = range(4, 15)
_QUESTION_WITHIN = 90
# words by which a question leans on what was said before it
_POINTING = frozenset(("that", "this", "it", "they", "he", "she", "those", "these", "them", "there", "him", "her"))
_OPEN = re.compile(r"(?:what|why|how|who|which|where|when)\b", re.IGNORECASE)  # so begins a clause that asks by itself
_ENDINGS = ("ing", "ed", "ly", "'s", "n't", "'re", "'ve", "'ll", "'d", "'m", "ful", "ous", "ive", "able", "ible")
_FEWEST_NOUN = 0.5  # see `nouns`
_RARITY = 0.75  # how much it counts that other chapters do not say a phrase


@dataclass
class _Phrase:
    """How much a phrase counts in a chapter, and how it is written there, with how often."""

    weight: float = 0.0
    written: Counter[str] = field(default_factory=Counter)


Phrases: TypeAlias = dict[tuple[str, ...], _Phrase]  # by the stems of their words


def nouns(transcript: Transcript) -> dict[str, float]:
    """Stem -> how much like a noun it stands in this transcript, 0 to 1: by the words of grammar before it."""
    like: Counter[str] = Counter()
    unlike: Counter[str] = Counter()
    before = ""
    for word in transcript.words:
        found = tokens(word.text)
        for token in found:
            if carries(token):
                like[stem(token)] += before in BEFORE_NOUNS
                unlike[stem(token)] += before in BEFORE_OTHERS
            before = token
        if word.text[-1:] in ".,?!;:":
            before = ""
    return {word: (like[word] + 1) / (like[word] + unlike[word] + 2) for word in like}


def titles_of(
    transcript: Transcript,
    spans: Sequence[tuple[int, int]],
    names: Names,
    asking: Collection[int],
    left_out: Collection[int],
) -> list[str]:
    """A title for each chapter, segments `first` to `end` (not included). `asking`: the segments that ask. `left_out`:
    segments (advertisements) whose words make no title."""
    noun = nouns(transcript)
    phrases = [_phrases(transcript, range(first, end), names, left_out, noun) for first, end in spans]
    made = _phrased(phrases)
    titles: list[str] = []
    for n, (first, end) in enumerate(spans):
        question = _question(transcript, first, end, asking, left_out, _repeated(phrases[n]))
        title = question if question and question not in titles else made[n]
        titles.append(title[:1].upper() + title[1:] if title else "Untitled")
    return titles


def _question(
    transcript: Transcript,
    first: int,
    end: int,
    asking: Collection[int],
    left_out: Collection[int],
    about: set[str],
) -> str:
    """The first question of a chapter that is short, says alone what it is about, and asks about what the chapter is
    about; "" where there is none."""
    segments = transcript.segments
    for each in segments[first:end]:
        if each.first - segments[first].first > _QUESTION_WITHIN:
            break
        if each.id not in asking or each.id in left_out:
            continue
        text = question_text(transcript, each.id)
        clauses = re.split(r"[,;:–—]\s+", text)
        for clause in [text, *(each for each in clauses if _OPEN.match(each))]:
            found = tokens(clause)
            telling = {stem(token) for token in found if carries(token) and token not in VAGUE}
            alone = len(telling) >= 2 and not _POINTING.intersection(found) and not HESITATION.intersection(found)
            if alone and len(found) in _QUESTION_WORDS and asks_openly(clause) and telling & about:
                return clause[:1].upper() + clause[1:].rstrip("?.! ") + "?"
    return ""


def _repeated(found: Phrases) -> set[str]:
    """The words that a chapter says more than once."""
    return {key[0] for key, phrase in found.items() if len(key) == 1 and phrase.written.total() > 1}


def _phrases(
    transcript: Transcript, segments: Iterable[int], names: Names, left_out: Collection[int], noun: Mapping[str, float]
) -> Phrases:
    """The phrases of a chapter by their stems: how often (at its beginning and as a name they count more), and as they
    are written."""
    people = {token for segment in transcript.segments for token in tokens(segment.speaker)}
    found: dict[tuple[str, ...], _Phrase] = {}
    begin: int | None = None
    for segment in segments:
        place = transcript.segments[segment]
        begin = place.first if begin is None else begin
        if segment in left_out:
            continue
        lead = _LEAD_WEIGHT if place.first - begin < _LEAD else 1.0
        for words in _candidates(transcript, place.first, place.end):
            said = [tokens(word)[0] for word in words]
            key = tuple(stem(word) for word in said)
            # who speaks says nothing of what about
            if not _tells(said, key, noun) or people.intersection(said):
                continue
            named = all(capital(word) and names.known(token) for word, token in zip(words, said, strict=True))
            phrase = found.setdefault(key, _Phrase())
            phrase.weight += noun[key[-1]] * lead * (1.5 if named else 1.0)
            phrase.written[" ".join(_shown(word, names) for word in words)] += 1
    return found


def _tells(said: Sequence[str], key: Sequence[str], noun: Mapping[str, float]) -> bool:
    """Whether a phrase can be a title: it begins and ends as a noun stands, and neither end is vague."""
    ends = {said[0], said[-1]}
    return not (
        said[-1].endswith(_ENDINGS)
        or said[0].endswith("ly")
        or ends & VAGUE
        or min(noun[key[0]], noun[key[-1]]) < _FEWEST_NOUN
    )


def _candidates(transcript: Transcript, first: int, end: int) -> Iterator[list[str]]:
    for run in _runs(transcript, first, end):
        for size in range(1, _LONGEST + 1):
            for at in range(len(run) - size + 1):
                yield run[at : at + size]


def _runs(transcript: Transcript, first: int, end: int) -> Iterator[list[str]]:
    """Stretches of words of content, as written, without a word of grammar or punctuation between them."""
    run: list[str] = []
    for word in transcript.words[first:end]:
        found = tokens(word.text)
        fits = len(found) == 1 and carries(found[0]) and len(found[0]) > 2 and not found[0][0].isdigit()
        if fits:
            run.append(word.text)
        if run and not (fits and word.text[-1].isalnum()):
            yield run
            run = []
    if run:
        yield run


def _shown(word: str, names: Names) -> str:
    text = word.strip("-–—.,;:?!\"'“”‘’()[]")
    return text if names.known(tokens(text)[0]) else text.lower()


def _phrased(phrases: Sequence[Phrases]) -> list[str]:
    """Two phrases a chapter that do not share a word; a phrase serves one chapter only."""
    spread = Counter(key for found in phrases for key in found)
    titles = []
    taken: set[tuple[str, ...]] = set()
    for found in phrases:
        merit = {
            key: phrase.weight
            * math.log(1 + len(phrases) / spread[key]) ** _RARITY
            * (0.5 + 0.5 * len(key) if phrase.written.total() > 1 else 0.3)
            for key, phrase in found.items()
        }
        chosen: list[tuple[str, ...]] = []
        for key in sorted(merit, key=lambda k: (-merit[k], k)):
            if len(chosen) < 2 and key not in taken and not any(set(key) & set(other) for other in chosen):
                chosen.append(key)
        taken.update(chosen)
        titles.append(", ".join(found[key].written.most_common(1)[0][0] for key in chosen))
    return titles
