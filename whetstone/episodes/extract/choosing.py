"""All of a page that can be had without a model: every line of it is somebody's own words, cut out by the program.

Central sentences by a graph ranker (`ranking.py`), what was chosen once is not chosen again, advertisements and
greetings are left out, and every choice passes the quote gate like a model's would.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whetstone.episodes.content import About, Answered, Chapter, Content, Counts, Line
from whetstone.episodes.extract.chapters import chapters_of
from whetstone.episodes.extract.passages import Passage, passages
from whetstone.episodes.extract.questions import answered, host, questions
from whetstone.episodes.extract.ranking import Vectors, centrality, choose, stems, vectors
from whetstone.episodes.extract.sponsors import housekeeping, sponsored
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.lexicon import content
from whetstone.episodes.normal import tokens
from whetstone.episodes.transcript import Transcript

PARAGRAPH_LINES = 6
SUMMARY_LINES = 14
TAKEAWAYS = 7
QUOTES = 8
QUESTIONS = 12
_LONGEST_QUOTE = 45
# how much more a passage counts whose words are all in the publisher's title and description
_TOLD = 3.0
# a host presents the guest, and then the matter, in the first part of an episode
_OPENING_SHARE, _OPENING_WORDS = 0.2, 2500
_PRESENTS_GUEST = re.compile(
    r"\b(?:my|our|today's) guests? (?:today )?(?:is|are)\b|\b(?:joins|joining|joined) (?:me|us|by|today)\b"
    r"|\b(?:i'm|we're|i am|we are|i) (?:talking|speaking|chatting|joined|here|sat down|sit down) (?:to|with|by)\b"
)
_PRESENTS_MATTER = re.compile(
    r"\bin (?:this|today's|our) (?:episode|conversation|show|interview)\b|\btoday we(?:'re| are|'ll)?\b"
    r"|\bwe (?:talk|chat|speak|discuss|cover|dig|get) (?:about|a lot|into|deep|through|why|how|what)\b"
)


@dataclass
class _Desk:
    """What the choosers share: the candidates with their vectors, and the segments that are used already."""

    gate: Gate
    candidates: list[Passage]
    vectors_CV: Vectors
    vectors_SV: Vectors
    central_C: NDArray[np.float64]
    host: str
    used: set[int] = field(default_factory=set)

    def take(self, score: Callable[[int], float], count: int, variety: float = 0.5) -> list[Passage]:
        """Up to `count` passages by score and variety that share no segment with what was taken before, in the order of
        the conversation."""
        scores = [0.0 if self.used.intersection(p.segments) else score(c) for c, p in enumerate(self.candidates)]
        taken: list[Passage] = []
        # a sentence is in several passages: more are asked for than are needed
        for chosen in choose(scores, self.vectors_CV, 4 * count, variety=variety):
            passage = self.candidates[chosen]
            if len(taken) < count and not self.used.intersection(passage.segments):
                self.used.update(passage.segments)
                taken.append(passage)
        return sorted(taken, key=lambda passage: passage.quote.first)

    def guest(self, passage: Passage) -> float:
        """Who asks says less that a summary wants."""
        return 0.35 if self.host and passage.quote.speaker == self.host else 1.0


def content_without_model(about: About, transcript: Transcript, chapters: Sequence[Chapter] = ()) -> Content:
    """A page's content from the transcript alone. `chapters`: the publisher's, which are taken as they are.

    Raises nothing for an empty transcript: its content is empty.
    """
    began = time.perf_counter()
    gate = Gate(transcript)
    asking = questions(transcript)
    adverts = sponsored(transcript)
    left_out = adverts | housekeeping(transcript)
    stems_S = stems(transcript)
    vectors_SV = vectors(stems_S)
    desk = _desk(about, gate, list(passages(gate, asking, left_out)), vectors_SV, asking - left_out)
    made = chapters or chapters_of(transcript, vectors_SV, gate.names, asking, left_out)
    made = made if chapters or len(made) > 1 else ()  # one chapter tells nobody where anything is

    presented = [passage for pattern in (_PRESENTS_GUEST, _PRESENTS_MATTER) for passage in _presented(desk, pattern)]
    quotes = desk.take(lambda c: _quotable(desk, c), QUOTES)
    paragraph = [*presented, *desk.take(lambda c: _central(desk, c), PARAGRAPH_LINES - len(presented))]
    takeaways = desk.take(lambda c: _lesson(desk, c), TAKEAWAYS)
    summary = _by_chapter(desk, made)
    found = _best_answered(desk, answered(gate, asking, left_out))
    # what a page says without a model passes the same checks as what a model says
    proposed = [[_line(gate, passage) for passage in part] for part in (paragraph, summary, takeaways)]
    kept = [check_lines(lines, transcript, gate=gate)[0] for lines in proposed]
    passed = [p.quote for p in quotes if isinstance(gate.words(p.quote.first, p.quote.end), Accepted)]
    counts = Counts(
        quotes_proposed=len(quotes),
        quotes_kept=len(passed),
        lines_proposed=sum(map(len, proposed)),
        lines_kept=sum(map(len, kept)),
        segments=len(transcript.segments),
        covered=len(transcript.segments),
        seconds=time.perf_counter() - began,
    )
    return Content(
        kept[0], kept[1], kept[2], tuple(passed), tuple(found), tuple(made), counts=counts,
        sponsored=tuple(sorted(adverts)),
    )  # fmt: skip


def _desk(about: About, gate: Gate, candidates: list[Passage], vectors_SV: Vectors, asking: frozenset[int]) -> _Desk:
    """Candidates with their centrality; what the publisher's title and description speak of counts more."""
    central_S = centrality(vectors_SV)
    told = set(content(tokens(f"{about.title} {about.description}")))
    central_C = np.array([central_S[p.segments[0] : p.segments[-1] + 1].mean() for p in candidates])
    central_C *= np.array([1 + _TOLD * len(told & set(p.stems)) / len(set(p.stems)) for p in candidates])
    vectors_CV = vectors([p.stems for p in candidates])
    return _Desk(gate, candidates, vectors_CV, vectors_SV, central_C, host(gate.transcript, asking))


def _presented(desk: _Desk, pattern: re.Pattern[str]) -> list[Passage]:
    """The host's words from the first sentence on that presents something, in two passages at most, each as long as it
    may be; none where nobody presents anything."""
    transcript = desk.gate.transcript
    limit = min(_OPENING_WORDS, _OPENING_SHARE * len(transcript.words))
    longest: dict[int, Passage] = {}
    for passage in desk.candidates:
        # candidates from one sentence on follow each other, shortest first
        if (not desk.host or passage.quote.speaker == desk.host) and not desk.used.intersection(passage.segments):
            longest[passage.segments[0]] = passage
    begins = (
        first
        for first, passage in longest.items()
        if passage.quote.first <= limit and pattern.search(" ".join(tokens(transcript.segment_text(first))))
    )
    found: list[Passage] = []
    at = next(begins, None)
    while at in longest and len(found) < 2:
        found.append(longest[at])
        at = longest[at].segments[-1] + 1
    for passage in found:
        desk.used.update(passage.segments)
    return found


def _by_chapter(desk: _Desk, chapters: Sequence[Chapter]) -> list[Passage]:
    """The page: the most central words of every chapter, as many from each as it is long."""
    transcript = desk.gate.transcript
    firsts = [chapter.segment for chapter in chapters] or [0]
    if firsts[0] > 0:
        firsts = [0, *firsts]
    borders = [*firsts, len(transcript.segments)]
    found: list[Passage] = []
    for begin, end in pairwise(borders):
        if begin >= end:
            continue
        words = transcript.segments[end - 1].end - transcript.segments[begin].first
        count = max(1, round(SUMMARY_LINES * words / max(1, len(transcript.words))))

        found += desk.take(_inside(desk, begin, end), count)
    return found


def _inside(desk: _Desk, begin: int, end: int) -> Callable[[int], float]:
    """A score for passages from segments `begin` to `end` (not included): central, and near to what this part is about;
    0 for others."""
    about_V = np.asarray(desk.vectors_SV[begin:end].sum(axis=0)).ravel()
    about_V /= np.linalg.norm(about_V) or 1.0
    near_S = desk.vectors_SV @ about_V

    def score(c: int) -> float:
        segments = desk.candidates[c].segments
        if not (begin <= segments[0] and segments[-1] < end):
            return 0.0
        return _central(desk, c) * (0.3 + float(near_S[segments[0] : segments[-1] + 1].mean()))

    return score


def _central(desk: _Desk, c: int) -> float:
    passage = desk.candidates[c]
    return float(desk.central_C[c]) * passage.merit * (0.6 + 0.4 * passage.lesson) * desk.guest(passage)


def _lesson(desk: _Desk, c: int) -> float:
    passage = desk.candidates[c]
    if not passage.alone:
        return 0.0
    return float(desk.central_C[c]) ** 0.5 * passage.merit * passage.lesson * desk.guest(passage)


def _quotable(desk: _Desk, c: int) -> float:
    passage = desk.candidates[c]
    short = passage.quote.end - passage.quote.first <= _LONGEST_QUOTE
    if not short or not passage.alone:
        return 0.0
    return float(desk.central_C[c]) ** 0.3 * passage.merit * (0.2 + passage.striking) * desk.guest(passage)


def _best_answered(desk: _Desk, found: list[Answered]) -> list[Answered]:
    """The questions whose answers are central, spread over the conversation, in order."""
    central = {
        s: float(desk.central_C[c]) for c, p in enumerate(desk.candidates) if len(p.segments) == 1 for s in p.segments
    }

    def score(entry: Answered) -> float:
        values = [central.get(segment, 0.0) for segment in desk.gate.segments_of(entry.answer)]
        guest = 0.4 if desk.host and entry.answer.speaker == desk.host else 1.0
        return guest * (sum(values) / len(values) + 0.05)

    best = sorted(range(len(found)), key=lambda index: (-score(found[index]), index))[:QUESTIONS]
    return [found[index] for index in sorted(best)]


def _line(gate: Gate, passage: Passage) -> Line:
    """The transcript's own words as a line; its first letter is a capital, filler before them is left out."""
    text = gate.transcript.text(passage.quote.first, passage.quote.end).lstrip("-–— ")
    return Line(text[:1].upper() + text[1:], tuple(passage.segments))
