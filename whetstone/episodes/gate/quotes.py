"""The quote gate: words stand on a page as a quote only if the transcript has them, exactly and in one piece.

Equality is exact equality of tokens in normal form (`normal.py`), never a score: a falsified quote can score higher
than a true one with other punctuation. What is accepted is a place in the transcript, and a page prints the
transcript's own words from there, never the proposal's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from whetstone.episodes.content import Badge, Quote
from whetstone.episodes.gate.nearest import Nearest, nearest
from whetstone.episodes.gate.quantities import is_number
from whetstone.episodes.gate.quoted import FEWEST_QUOTED, Run, credited, quoted_runs
from whetstone.episodes.lexicon import negates, stem
from whetstone.episodes.names import Names
from whetstone.episodes.normal import normal, tokens
from whetstone.episodes.segments import borders
from whetstone.episodes.transcript import Origin, Transcript

FEWEST_TOKENS = 6
LONGEST_PAUSE = 3.0  # seconds between two words of one quote
AGREEMENT = 0.9  # the share of words that must carry the speaker's name
DOUBTFUL_PROBABILITY = 0.5
LONGEST_SHOWN = 60  # words of a quote that is widened to whole sentences


class Reason(StrEnum):
    """Why the gate refuses a quote."""

    SHORT = "too short"
    ABSENT = "not in the transcript"
    OMISSION = "an ellipsis or a bracket was put in"
    SPEAKERS = "more than one person says it"
    OTHER_SPEAKER = "somebody else says it"
    PAUSE = "it is interrupted"
    REPEATS = "the recogniser is not sure that it was said"
    TURNED = "the denial around it is left out"
    QUESTION = "a question is told as a statement, or the other way round"
    CUT = "its sentences cannot be shown whole"


@dataclass(frozen=True)
class Accepted:
    """A quote that was found. `also`: the first words of the other places where the same is said."""

    quote: Quote
    also: tuple[int, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A quote that stays off the page, for the log: the proposal, and the nearest words where there are any."""

    reason: Reason
    proposal: str
    nearest: Nearest | None = None

    def __str__(self) -> str:
        shown = self.proposal if len(self.proposal) <= 80 else self.proposal[:77] + "..."
        return f'{self.reason}: "{shown}"' + (f" ({self.nearest})" if self.nearest else "")


class Gate:
    """The gate of one transcript. Builds an index of it once; a look-up does not depend on the transcript's length."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.names = Names(transcript)
        self._normal = normal([word.text for word in transcript.words])
        self._places: dict[str, list[int]] = {}
        for place, token in enumerate(self._normal.tokens):
            self._places.setdefault(token, []).append(place)
        self._stems = frozenset(stem(token) for token in self._places)
        self._speakers = {word.speaker for word in transcript.words if word.speaker}
        self._borders = borders(transcript)
        self._segment_of = [0] * len(transcript.words)
        for segment in transcript.segments:
            self._segment_of[segment.first : segment.end] = [segment.id] * (segment.end - segment.first)

    def check(
        self, proposal: str, *, segments: Sequence[int] = (), speaker: str = "", fewest: int = FEWEST_TOKENS
    ) -> Accepted | Refused:
        """Look for `proposal`, at least `fewest` tokens of it. Of several places the one inside `segments` is chosen,
        else the first, and all are named. `speaker`: who is said to say it, if anybody; a first name will do."""
        sought = normal(proposal.split())
        if len(sought.tokens) < fewest:
            return Refused(Reason.SHORT, proposal)
        starts = self._found(sought.tokens)
        if not starts:
            return Refused(Reason.ABSENT, proposal, self._nearest(sought.tokens))
        length = len(sought.tokens)
        starts = [start for start in starts if self._marked(start, length) >= sought.marks]
        if not starts:
            return Refused(Reason.OMISSION, proposal)
        results = [self._words(*self._span(start, length), speaker, proposal) for start in starts]
        accepted = [result for result in results if isinstance(result, Quote)]
        if not accepted:
            return next(result for result in results if isinstance(result, Refused))
        wanted = set(segments)
        inside = [q for q in accepted if wanted.issuperset(self._segment_of[q.first : q.end])]
        chosen = (inside or accepted)[0]
        return Accepted(chosen, tuple(q.first for q in accepted if q is not chosen))

    def words(self, first: int, end: int, *, speaker: str = "", fewest: int = FEWEST_TOKENS) -> Accepted | Refused:
        """The same rules for words that were chosen by their place."""
        if not 0 <= first < end <= len(self.transcript.words):
            return Refused(Reason.ABSENT, f"words {first} to {end}")
        text = self.transcript.text(first, end)
        if len(normal(text.split()).tokens) < fewest:
            return Refused(Reason.SHORT, text)
        result = self._words(first, end, speaker, text)
        return Accepted(result) if isinstance(result, Quote) else result

    def whole(self, quote: Quote, longest: int = LONGEST_SHOWN) -> Accepted | Refused:
        """The quote in whole segments, so that no "not", no "I think" and no "million" is cut off: widened to them;
        where that makes more than `longest` words, only the segments that are whole in it; where there are none, the
        two that it stands in. Refused where none of these passes the gate."""
        segments = self.transcript.segments
        place = self.segments_of(quote)
        wide = segments[place[0]].first, segments[place[-1]].end
        inside = [segments[s] for s in place if quote.first <= segments[s].first and segments[s].end <= quote.end]
        within = (inside[0].first, inside[-1].end) if inside else wide
        for first, end in (wide, within) if wide[1] - wide[0] <= longest else (within,):
            found = self.words(first, end, speaker=quote.speaker)
            if isinstance(found, Accepted):
                return found
        return Refused(Reason.CUT, self.transcript.text(quote.first, quote.end))

    def line(self, text: str, segments: Sequence[int] = ()) -> tuple[Refused, ...]:
        """What a line of a summary or an answer puts between quotation marks and the transcript does not have: quoted
        runs of four words or more pass the gate like every other quote, as the words of whom the line names. Empty:
        nothing is wrong."""
        results = (self._in_line(run, segments) for run in quoted_runs(text))
        return tuple(result for result in results if isinstance(result, Refused))

    def _in_line(self, run: Run, segments: Sequence[int]) -> Accepted | Refused:
        speaker = credited(run, self._speakers)
        found = self.check(run.text, segments=segments, speaker=speaker, fewest=FEWEST_QUOTED)
        if isinstance(found, Refused):
            return found
        around = tokens(f"{run.before} {run.after}")
        place = self.segments_of(found.quote)
        opens, ends = self.transcript.segments[place[0]].first, self.transcript.segments[place[-1]].end
        left = tokens(self.transcript.text(opens, found.quote.first))
        right = tokens(self.transcript.text(found.quote.end, min(ends, found.quote.end + 2)))
        if any(map(negates, (*left, *right))) and not any(map(negates, around)):
            return Refused(Reason.TURNED, run.text)
        asked = "?" in self.transcript.text(found.quote.first, ends)
        asks = "?" in run.text + run.after or not {"ask", "wonder", "question"}.isdisjoint(map(stem, around))
        return Refused(Reason.QUESTION, run.text) if asked != asks and ("?" in run.text or asked) else found

    def says(self, token: str) -> bool:
        """Whether the transcript has the token (in normal form) in any inflection."""
        return stem(token) in self._stems

    def segments_of(self, quote: Quote) -> range:
        """The segments that the words of a quote are in."""
        return range(self._segment_of[quote.first], self._segment_of[quote.end - 1] + 1)

    def _found(self, sought: tuple[str, ...]) -> list[int]:
        """Where the tokens stand one after the other, whole words only. By the rarest of them."""
        have = self._normal.tokens
        rarest = min(range(len(sought)), key=lambda offset: len(self._places.get(sought[offset], ())))
        starts = (place - rarest for place in self._places.get(sought[rarest], ()))
        return [
            start
            for start in starts
            if start >= 0 and have[start : start + len(sought)] == sought and self._aligned(start, start + len(sought))
        ]

    def _aligned(self, start: int, end: int) -> bool:
        """Whether tokens `start` to `end` begin and end where words do: "known" is no quote from "well-known"."""
        words = self._normal.words
        return (start == 0 or words[start - 1] != words[start]) and (end == len(words) or words[end] != words[end - 1])

    def _span(self, start: int, length: int) -> tuple[int, int]:
        words = self._normal.words
        return words[start], words[start + length - 1] + 1

    def _marked(self, start: int, length: int) -> set[int]:
        """Where the transcript itself has an ellipsis or a bracket, from the start of a place on."""
        return {offset for offset in range(length + 1) if start + offset in self._normal.marks}

    def _words(self, first: int, end: int, speaker: str, proposal: str) -> Quote | Refused:
        """The rules on who speaks and whether it is one run."""
        words = self.transcript.words[first:end]
        if sum(word.doubtful for word in words) * 2 > len(words):
            return Refused(Reason.REPEATS, proposal)
        for word, following in pairwise(words):
            over = word.end if word.end is not None else word.start
            if over is not None and following.start is not None:
                backwards = word.start is not None and word.start - following.start >= LONGEST_PAUSE
                if following.start - over >= LONGEST_PAUSE or backwards:
                    return Refused(Reason.PAUSE, proposal)
        named = self._speaker(first, end)
        if named is None:
            return Refused(Reason.SPEAKERS, proposal)
        if speaker and named and not set(tokens(speaker)) <= set(tokens(named)):
            return Refused(Reason.OTHER_SPEAKER, proposal)
        return Quote(first, end, named, self._badges(first, end))

    def _speaker(self, first: int, end: int) -> str | None:
        """Who says words `first` to `end`; "" where too few words carry a name; None where two people do, or may do.

        A publisher knows who speaks, so words without a name are not those of the person named beside them. A
        recogniser may give a word in the middle of a sentence to somebody else, so there up to a tenth may disagree, if
        every sentence as a whole is the same person's.
        """
        if any(place in self._borders for place in range(first + 1, end)):
            return None
        counts = Counter(word.speaker for word in self.transcript.words[first:end])
        speakers = Counter({name: count for name, count in counts.items() if name})
        if not speakers:
            return ""
        name, count = speakers.most_common(1)[0]
        agreed = count >= AGREEMENT * (end - first)
        if len(speakers) > 1 or (self.transcript.origin is Origin.PUBLISHER and count < end - first):
            segments = self.transcript.segments[self._segment_of[first] : self._segment_of[end - 1] + 1]
            one = all(segment.speaker == name for segment in segments)
            if not (agreed and one and self.transcript.origin is Origin.MACHINE):
                return None
        return name if agreed else ""

    def _badges(self, first: int, end: int) -> tuple[Badge, ...]:
        """Where the words come from, and whether to listen before repeating them."""
        words = self.transcript.words[first:end]
        listen = any(
            word.doubtful or (word.probability is not None and word.probability < DOUBTFUL_PROBABILITY)
            for word in words
        )
        if self.transcript.origin is Origin.PUBLISHER:
            return (Badge.PUBLISHER, Badge.LISTEN) if listen else (Badge.PUBLISHER,)
        # in a transcript without capitals a name looks like any other word
        listen = listen or not self.names.cased or any(self.names.at(index) for index in range(first, end))
        listen = listen or any(is_number(token) for word in words for token in tokens(word.text))
        return (Badge.MACHINE, Badge.LISTEN) if listen else (Badge.MACHINE,)

    def _nearest(self, sought: tuple[str, ...]) -> Nearest | None:
        found = nearest(sought, self._normal.tokens, self._places)
        if found is None or found.first >= found.end:
            return None
        first, end = self._span(found.first, found.end - found.first)
        return Nearest(first, end, found.differences)
