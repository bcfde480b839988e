"""Passages: one to three sentences of one person that could stand alone on a page, and what speaks for each."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from whetstone.episodes.content import Quote
from whetstone.episodes.extract.questions import opening
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.lexicon import HESITATION, POINTING, content
from whetstone.episodes.normal import tokens, without_closing
from whetstone.episodes.transcript import Transcript

FEWEST_WORDS, MOST_WORDS = 8, 60
_MOST_SEGMENTS = 3
_FEWEST_CONTENT = 4
# what a listener would write down: advice, reasons, lessons, turning points
_LESSON = re.compile(
    r"\bmost important|\bthe (?:key|reason|problem|lesson|secret|trick|biggest|hardest|best|worst|only|real"
    r"|main|first thing|whole point)\b|\bbecause\b|\bshould\b|\blearn|\bnever\b|\balways\b|\b(?:have|need) to\b"
    r"|\bmust\b|\badvice\b|\bmatters\b|\bturns? out\b|\bmistake|\binstead of\b|\brather than\b|\bif you\b"
    r"|\bmeans that\b|\bwhat (?:i|we) (?:found|learned)|\bdecision\b|\bchanged\b|\bdifference\b|\bmore than\b"
    r"|\bthat's why\b|\bdon't\b"
)
# what is pleasant to hear again: a contrast, an absolute, a picture
_STRIKING = re.compile(
    r"\bnot\b.*\bbut\b|\binstead\b|\bnever\b|\balways\b|\bnobody\b|\beverybody\b|\bnothing\b|\beverything\b"
    r"|\bonly\b|\bmost\b|\bbest\b|\bworst\b|\brather than\b|\bthe whole\b|\bis a\b|\bis your\b|\bi would\b"
    r"|\byou have to\b|\bwithout\b"
)
_SPOKEN = re.compile(
    r"\byou know\b|\bi mean\b|\bkind of\b|\bsort of\b|\b(?:was|just|it's|and|but|so|were) like\b|\b(\w+) \1\b"
    r"|\bblah\b|\bor whatever\b|\band stuff\b|\bi guess\b|\ba bunch of\b"
)
# talk about the talk
_META = re.compile(
    r"\bi'm (?:curious|wondering|just saying)\b|\blet me\b|\bi want(?:ed)? to (?:ask|talk|mention|come back"
    r"|go back|touch|get)|\blet's (?:talk|go|move|get|dig|start|pause)|\bwe(?:'ll| will| can) (?:talk|get|come)"
    r"|\bgreat question|\b(?:your|my) question|\bi'(?:m going to|d love to) (?:ask|hear|talk|read)|\bas (?:you"
    r"|i) said\b|\byou (?:mentioned|said|talked)\b|\bto your point\b|\binaudible\b|\bcrosstalk\b"
    r"|\bthis (?:podcast|episode|conversation)\b"
)
_REPLY = re.compile(
    r"^(?:that is|that's|yes|no|exactly|absolutely|i love|i agree|me too|good question|great question|sure)\b"
)


@dataclass(frozen=True)
class Passage:
    """Words of a transcript in one piece: the quote the gate gave for it, its segments and the stems of its words of
    content. `alone`: whether it needs nothing before it. `merit`: how fit it is to be read, 0 to 1; `lesson` and
    `striking`: how much of a takeaway and of a quotation it has, 0 to 1."""

    quote: Quote
    segments: range
    stems: tuple[str, ...]
    alone: bool
    merit: float
    lesson: float
    striking: float


def passages(gate: Gate, asking: Collection[int], left_out: Collection[int]) -> Iterator[Passage]:
    """Every run of up to three whole segments of one speaker that has enough content and passes the gate. None
    begins with filler, none contains a question or a segment of `left_out`."""
    transcript = gate.transcript
    barred = set(asking) | set(left_out)
    punctuated = _punctuated(transcript)
    for start in transcript.segments:
        first = opening(transcript, start.first, start.end)
        for size in range(_MOST_SEGMENTS):
            last = start.id + size
            if last >= len(transcript.segments) or last in barred:
                break
            segment = transcript.segments[last]
            if segment.speaker != start.speaker or segment.end - first > MOST_WORDS or (size and segment.paragraph):
                break
            stems = tuple(content(t for word in transcript.words[first : segment.end] for t in tokens(word.text)))
            if segment.end - first < FEWEST_WORDS or len(set(stems)) < _FEWEST_CONTENT:
                continue
            result = gate.words(first, segment.end)
            if not isinstance(result, Accepted):
                continue
            text = " ".join(t for word in transcript.words[first : segment.end] for t in tokens(word.text))
            alone = _stands_alone(transcript, result.quote, punctuated)
            merit = _merit(transcript, result.quote, text, stems) * (1.0 if alone else 0.25)
            found = range(start.id, last + 1)
            yield Passage(result.quote, found, stems, alone, merit, _share(_LESSON, text), _share(_STRIKING, text))


def _stands_alone(transcript: Transcript, quote: Quote, punctuated: bool) -> bool:
    """Whether a passage opens with words that need nothing before them, and ends where a sentence does."""
    opening_words = tokens(transcript.text(quote.first, min(quote.first + 2, quote.end)))
    # a quotation without its other mark is a piece of a story; who breaks off has not said it
    text = transcript.text(quote.first, quote.end)
    if text.count('"') % 2 or text.count("“") != text.count("”"):
        return False
    if "..." in text or "…" in text or "[" in text:
        return False
    pointing = not opening_words or opening_words[0] in POINTING or opening_words[0].split("'")[0] in POINTING
    written = transcript.words[quote.first].text
    ends = without_closing(transcript.words[quote.end - 1].text)
    cut = punctuated and (not ends.endswith((".", "!", "…", "。")) or written[:1].islower())
    return not pointing and not cut


def _merit(transcript: Transcript, quote: Quote, text: str, stems: tuple[str, ...]) -> float:
    """Fitness to be read: dense, fluent, of a good length, clear without what was said before, surely heard."""
    count = quote.end - quote.first
    dense = min(1.0, len(stems) / (0.42 * count))
    length = math.exp(-((math.log(count) - math.log(24)) ** 2) / 0.9)
    written = [word.text for word in transcript.words[quote.first : quote.end]]
    broken = sum(word.endswith(("-", "--", "–", "—")) or word[0] in "[(" for word in written)
    halting = len(_SPOKEN.findall(text)) + sum(token in HESITATION for token in text.split()) + broken
    fluent = 1 / (1 + 0.6 * halting)
    # every "it" and "that" asks for something that is not on the page
    pointing = sum(token in POINTING for token in text.split()) / count
    clear = math.exp(-8 * max(0.0, pointing - 0.06))
    aside = 0.3 if _REPLY.match(text) or _META.search(text) else 1.0
    sure = [w.probability for w in transcript.words[quote.first : quote.end] if w.probability is not None]
    heard = min(1.0, 2 * min(sure)) if sure else 1.0
    return dense * length * fluent * aside * clear * heard


def _share(pattern: re.Pattern[str], text: str) -> float:
    """How many different things a pattern finds, each adding less than the one before, 0 to 1."""
    return 1 - 0.6 ** len({match.group() for match in pattern.finditer(text)})


def _punctuated(transcript: Transcript) -> bool:
    """Whether sentences end with their marks: some recognisers write none."""
    sample = transcript.words[:2000]
    return sum(word.text[-1:] in ".?!" for word in sample) * 60 > len(sample)
