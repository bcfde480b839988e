"""Questions that somebody asks aloud, and the words that answer them: found without a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from whetstone.episodes.content import Answered, Quote
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.lexicon import FILLER, HESITATION, content
from whetstone.episodes.normal import tokens, without_closing
from whetstone.episodes.transcript import Transcript

FEWEST_WORDS = 4
_FEWEST_INVERTED = 3
LONGEST_ANSWER = 90  # words
_LONGEST_QUESTION = 45
_SHORTEST_ANSWER = 8
# who asks may add a sentence of so many words ("I mean the animals.") before the answer begins
_ASIDE = 12
_WH = r"(?:what|why|how|who|whom|whose|which|where|when)"
_AUX = (
    r"(?:is|are|was|were|am|do|does|did|have|has|had|can|could|will|would|should|shall|may|might|isn't|aren't|wasn't|weren't"
    r"|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't|haven't|hasn't)"
)
_PRONOUN = (
    r"(?:i|you|he|she|it|we|they|there|this|that|these|those|people|anyone|anybody|your|his|her|its|our|their|the|a)"
)
# a question without its mark: by its word order; "what I think is", "when we were", "how it works" only tell
_INVERTED = re.compile(
    rf"^(?:{_WH}(?: \w+){{0,2}}? {_AUX}(?: not)? {_PRONOUN}|{_WH} (?:is|are|was|were|about|made|makes|went|happened"
    rf"|happens)\b|what's|how's|where's|who's|{_AUX} (?:i|you|he|she|we|they|there|it|this|that|these|people"
    rf"|anyone|anybody)\b|(?:can|could|would|will) you)"
)
_CHECKS = re.compile(r"\b(?:right|you know|okay|ok|yeah|correct|huh|see|no)$")
_TAG = re.compile(r"\b\w+n't (?:i|you|he|she|it|we|they|there)$")
# courtesies and checks that nobody wants to read answered
_SOCIAL = re.compile(
    r"^(?:how are you|how's it going|how are things|how have you been|are you (?:ready|there)|you know|right"
    r"|does that make sense|do you know what i mean|isn't it|can you hear|what's up|shall we|sound good"
    r"|make sense|is that fair|you know what i mean)"
)


def questions(transcript: Transcript) -> frozenset[int]:
    """The ids of the segments that ask: they end in a question mark or, in a transcript that has none, they have the
    word order of one."""
    marked = any(without_closing(word.text).endswith(("?", "？", "؟")) for word in transcript.words)
    return frozenset(s.id for s in transcript.segments if _asks(transcript, s.id, marked))


def answered(gate: Gate, asking: Collection[int], left_out: Collection[int]) -> list[Answered]:
    """The questions that somebody answers, in order. `asking`: see `questions`; `left_out`: segments that neither ask
    nor answer (advertisements)."""
    found: list[Answered] = []
    ends = -1
    for asked in sorted(set(asking) - set(left_out)):
        # of several questions in one breath the last is the one that is answered
        if asked <= ends or _again(gate.transcript, asked, asking):
            continue
        text = question_text(gate.transcript, asked)
        quote = _answer(gate, asked, asking, left_out) if text else None
        if quote:
            found.append(Answered(text, asked, quote))
            ends = gate.segments_of(quote)[-1]
    return found


def host(transcript: Transcript, asking: Collection[int]) -> str:
    """Who asks most of the questions that somebody else takes up; "" where nobody is named or only one speaks. (Who
    tells stories asks many too, and answers them.)"""
    if len({s.speaker for s in transcript.segments if s.speaker}) < 2:
        return ""
    counts = Counter(transcript.segments[q].speaker for q in asking if _first_reply(transcript, q) is not None)
    return max(sorted(counts), key=lambda name: counts[name], default="")


def opening(transcript: Transcript, first: int, end: int, words: Collection[str] = FILLER) -> int:
    """The first word of `first` to `end` that is no filler ("Um, so, well, you know, ..."); `first` if all are."""
    at = first
    while at < end:
        found = tokens(transcript.words[at].text)
        following = tokens(transcript.words[at + 1].text) if at + 1 < end else ()
        phrase = " ".join(found + following)
        if phrase in {"you know", "i mean", "of course"} and transcript.words[at + 1].text[-1:] == ",":
            at += 2
        elif (
            not found
            or _direction(transcript.words[at].text)
            or (found[0] in words and (found[0] in HESITATION or _set_apart(transcript, at)))
        ):
            at += 1
        else:
            return at
    return first


def _direction(word: str) -> bool:
    """Whether it is a stage direction of one word: [laughs]."""
    return word[:1] in "[(" and word.rstrip(".,:;")[-1:] in "])"


def _set_apart(transcript: Transcript, word: int) -> bool:
    """Whether a filler may go without changing the sentence: "Well, it is" but not "Like a bird", "No one"; "and" and
    "so" open a sentence without a comma."""
    text = transcript.words[word].text
    return text[-1:] in ",.;!—–" or tokens(text)[0] in {"and", "so", "but"}


def _asks(transcript: Transcript, segment: int, marked: bool) -> bool:
    place = transcript.segments[segment]
    last = without_closing(transcript.words[place.end - 1].text)
    if marked:
        return last.endswith(("?", "？", "؟")) and place.end - place.first >= 2
    first = opening(transcript, place.first, place.end)
    line = [t for word in transcript.words[first : place.end] for t in tokens(word.text)]
    while line and line[0] in FILLER:
        line = line[1:]
    said = " ".join(line)
    return len(line) >= _FEWEST_INVERTED and bool(_INVERTED.match(said) or _TAG.search(said))


def asks_openly(text: str) -> bool:
    """Whether a question has a question's word order: "What went wrong?", not "It went wrong, right?"."""
    line = " ".join(tokens(text))
    return bool(_INVERTED.match(line)) and not _CHECKS.search(line)


def _again(transcript: Transcript, segment: int, asking: Collection[int]) -> bool:
    """Whether the same person goes on and asks once more in the same turn."""
    speaker = transcript.segments[segment].speaker
    if not speaker:
        return segment + 1 in asking
    for following in transcript.segments[segment + 1 : segment + 5]:
        if following.speaker != speaker:
            return False
        if following.id in asking:
            return True
    return False


def question_text(transcript: Transcript, segment: int) -> str:
    """The question's own text, filler before it left out; with the sentence before it where it does not say alone what
    it is about. "" for greetings and what is no question at all ("Right?")."""
    place = transcript.segments[segment]
    first = opening(transcript, place.first, place.end)
    line = " ".join(t for word in transcript.words[first : place.end] for t in tokens(word.text))
    # "You were there, right?" checks; "what else?" says nothing of what is asked
    if _SOCIAL.match(line) or (_CHECKS.search(line) and not _INVERTED.match(line)) or not content(line.split()):
        return ""
    alone = len(set(content(line.split()))) >= 2 or (len(set(content(line.split()))) == 1 and place.end - first >= 7)
    before = transcript.segments[segment - 1] if segment else None
    if not alone and before and before.speaker == place.speaker and place.end - before.first <= _LONGEST_QUESTION:
        first = opening(transcript, before.first, before.end)
    if not FEWEST_WORDS <= place.end - first <= _LONGEST_QUESTION:
        return ""
    text = transcript.text(first, place.end).lstrip("-–— ")
    return text[:1].upper() + text[1:]


def _answer(gate: Gate, asked: int, asking: Collection[int], left_out: Collection[int]) -> Quote | None:
    """The words that answer: the next turn of somebody else, or what follows where nobody is named; whole segments, as
    many as fit."""
    segments = gate.transcript.segments
    start = _first_reply(gate.transcript, asked)
    if start is None or start in asking or start in left_out:
        return None
    first = opening(gate.transcript, segments[start].first, segments[start].end)
    best: Quote | None = None
    for segment in segments[start:]:
        if segment.speaker != segments[start].speaker or segment.id in left_out:
            break
        # where nobody is named a new paragraph may be somebody else's
        other = segment.id in asking or (segment.paragraph and not segment.speaker)
        if other and segment.id > start:
            break
        if segment.end - first > LONGEST_ANSWER:
            break
        result = gate.words(first, segment.end)
        if isinstance(result, Accepted) and result.quote.end - first >= _SHORTEST_ANSWER:
            best = result.quote
    return best


def _first_reply(transcript: Transcript, asked: int) -> int | None:
    """The segment with which somebody else begins to answer; None where the asker goes on alone."""
    segments = transcript.segments
    if asked + 1 >= len(segments):
        return None
    asker = segments[asked].speaker
    if not asker:
        return asked + 1
    for following in segments[asked + 1 : asked + 4]:
        if following.speaker != asker:
            return following.id
        if following.end - following.first > _ASIDE:
            return None
    return None
