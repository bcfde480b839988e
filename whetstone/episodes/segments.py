"""Words -> segments of about one sentence, the units that everything cites, and paragraphs for the page.

A segment never crosses a speaker, a long pause or its author's paragraph. Sentence ends come from nupunkt's trained
Punkt model (MIT, no download), with rules of our own around quotation marks; talk without punctuation is cut where it
pauses.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from whetstone.episodes.formats.reading import Reading
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript, Word
from whetstone.errors import UsageError

LONG_PAUSE = 2.0  # seconds between two words with times of their own; longer ones end a segment
LONG_GAP = 4.0  # seconds between two cues; captions stay off the screen in short pauses too
MOST_WORDS = 60  # in a segment; a longer sentence is cut in pieces
FEWEST_WORDS = 12  # in such a piece
PARAGRAPH = 80  # words after which a pause begins a paragraph, where the author made none
LONGEST_PARAGRAPH = 150  # words after which the next sentence does
PARAGRAPH_PAUSE = 0.7  # seconds

_CLOSES = "\"'\u201d\u2019\u00bb)\\]"
_ENDED = re.compile(rf"[.?!\u2026][{_CLOSES}]*$")
_ENDED_INSIDE = re.compile(r"[.?!\u2026][\"'\u201d\u2019\u00bb]$")  # the full stop stands before the closing mark
_OPENS = re.compile(r"[\"'\u201c\u2018\u00ab(\[]+[^\W_]")
_SHORT = re.compile(r"[\"'\u201c\u2018\u00ab(\[]*(?:[A-Z]\.|(?:Mr|Mrs|Ms|Dr|St|Prof|Gen|Sen|Rep|vs|No)\.)+$")


def transcript(reading: Reading) -> Transcript:
    """What a file says, with its segments."""
    segments = segmented(reading.words, reading.timing, reading.breaks)
    return Transcript(reading.words, segments, reading.timing, reading.origin, reading.language)


def segmented(words: Sequence[Word], timing: Timing, breaks: frozenset[int] = frozenset()) -> tuple[Segment, ...]:
    """The segments of the words, in order, each word in one. `breaks`: words that begin a paragraph of the author's.

    Raises UsageError where nupunkt is missing.
    """
    segments: list[Segment] = []
    long = 0  # words in the open paragraph
    for first, end, forced in _stretches(words, timing, breaks):
        for begin, stop in _sentences(words, first, end):
            new = begin == first and forced
            if not new and not breaks:
                pause = _pause(words, begin) if begin else 0.0
                calm = timing != Timing.WORD or pause >= PARAGRAPH_PAUSE
                new = long >= LONGEST_PARAGRAPH or (long >= PARAGRAPH and calm)
            long = stop - begin if new else long + stop - begin
            segments.append(Segment(len(segments), begin, stop, words[begin].speaker, new))
    return tuple(segments)


def borders(transcript: Transcript) -> frozenset[int]:
    """The words before which somebody else may begin though nobody is named on either side: those that open paragraphs
    of the publisher's. (Paragraphs that `segmented` makes are never shorter than `PARAGRAPH` words: where all are so
    long, they say nothing.)"""
    if transcript.origin is Origin.MACHINE:
        return frozenset()
    opens = [each for each in transcript.segments if each.paragraph]
    nameless = [not (each.speaker or (each.id and transcript.segments[each.id - 1].speaker)) for each in opens]
    short = any(
        alone and after and following.first - each.first < PARAGRAPH
        for (each, alone), (following, after) in pairwise(zip(opens, nameless, strict=True))
    )
    return frozenset(each.first for each, alone in zip(opens, nameless, strict=True) if alone and short)


def _stretches(words: Sequence[Word], timing: Timing, breaks: frozenset[int]) -> Iterator[tuple[int, int, bool]]:
    """Words without a change of speaker, an author's paragraph or a long pause between them; and whether a paragraph
    begins with them (a pause alone begins none)."""
    first, forced = 0, True
    limit = LONG_PAUSE if timing == Timing.WORD else LONG_GAP
    for at in range(1, len(words)):
        before, word = words[at - 1], words[at]
        turned = word.speaker != before.speaker or at in breaks
        if turned or (word.start is not None and before.end is not None and word.start - before.end > limit):
            yield first, at, forced
            first, forced = at, turned
    if words:
        yield first, len(words), forced


def _sentences(words: Sequence[Word], first: int, end: int) -> Iterator[tuple[int, int]]:
    texts = [word.text for word in words[first:end]]
    cuts = _sentence_starts(texts)
    edges = [0, *cuts, len(texts)]
    for begin, stop in pairwise(edges):
        while stop - begin > MOST_WORDS:
            cut = _best_cut(words, first + begin, first + stop) - first
            yield first + begin, first + cut
            begin = cut
        yield first + begin, first + stop


def _sentence_starts(texts: Sequence[str]) -> list[int]:
    """Places in `texts`, but the first, where a sentence begins."""
    if len(texts) < 2:
        return []
    places: dict[int, int] = {}
    at = 0
    for number, text in enumerate(texts):
        places[at] = number
        at += len(text) + 1
    found = {places[begin] for begin, _ in _splitter()(" ".join(texts)) if begin in places}
    starts = []
    for place in range(1, len(texts)):
        before, word = texts[place - 1], texts[place]
        if place in found:
            # "Why?" she asked: a quotation that ended, and the sentence around it goes on
            if not (_ENDED_INSIDE.search(before) and word[0].islower()):
                starts.append(place)
        elif _ENDED.search(before) and _OPENS.match(word) and _capital(word) and not _SHORT.search(before):
            starts.append(place)
    return starts


def _capital(word: str) -> bool:
    """Whether the first letter is one that sentences begin with (scripts without capitals count)."""
    letter = next((character for character in word if character.isalnum()), "")
    return bool(letter) and not letter.islower()


def _best_cut(words: Sequence[Word], begin: int, end: int) -> int:
    """Where to cut a sentence that is too long: the longest pause, else a comma, else the end of a cue."""
    low, high = begin + FEWEST_WORDS, min(begin + MOST_WORDS, end - FEWEST_WORDS)

    def merit(at: int) -> tuple[float, int]:
        before, word = words[at - 1], words[at]
        pause = _pause(words, at)
        comma = before.text[-1:] in ",;:\u2014\u2013"
        new_cue = word.start != before.start and word.start is not None
        # a comma is worth a pause of 0.3 s, the end of a cue 0.1 s; of equal cuts the latest is taken
        return round(pause, 2) + 0.3 * comma + 0.1 * new_cue, at

    return max(range(low, high + 1), key=merit)


def _pause(words: Sequence[Word], at: int) -> float:
    """Seconds of silence before word `at`; 0 where nobody knows."""
    start, end = words[at].start, words[at - 1].end
    return max(0.0, start - end) if start is not None and end is not None else 0.0


@functools.cache
def _splitter() -> Callable[[str], list[tuple[int, int]]]:
    try:
        import nupunkt
    except ImportError:
        raise UsageError("reading transcripts needs nupunkt: pip install nupunkt") from None
    return nupunkt.sent_spans
