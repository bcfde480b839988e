"""The transcript as people read it: who speaks, in paragraphs of bearable length, under the chapters' titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from whetstone.episodes.content import Chapter
from whetstone.episodes.page.clock import number
from whetstone.episodes.transcript import Segment, Timing, Transcript, Word
from whetstone.text import printable

LONGEST = 160  # words, after which a sentence's end ends a paragraph that nobody else ended
UNSURE = 0.5  # a recogniser's word below this probability is marked


@dataclass(frozen=True)
class Piece:
    """A segment: its id, when it begins (None: unknown) and its markup. `sponsored`: it looks like an advertisement;
    `opens`: and the one before it does not."""

    id: int
    start: float | None
    text: Markup
    word_starts: str  # of each word, in hundredths of a second after the segment's; "" where unknown
    sponsored: bool = False
    opens: bool = False


@dataclass(frozen=True)
class Paragraph:
    """Pieces that stand together. `number` counts from 1; `anchor` is its time's id, "" where it has none."""

    number: int
    start: float | None
    anchor: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Turn:
    """What one person says at a stretch. `chapter`: its title where one begins here. `voice` numbers the speakers."""

    speaker: str
    voice: int
    chapter: Chapter | None
    paragraphs: tuple[Paragraph, ...]


def voices(transcript: Transcript) -> list[str]:
    """The speakers in the order in which they are first heard."""
    return list(dict.fromkeys(segment.speaker for segment in transcript.segments if segment.speaker))


def turns(
    transcript: Transcript, chapters: Sequence[Chapter], names: Mapping[str, str], sponsored: Iterable[int] = ()
) -> list[Turn]:
    """The whole transcript. `names`: what to call a speaker. `sponsored`: segments that look like advertisements."""
    adverts = frozenset(sponsored)
    voice = {speaker: n for n, speaker in enumerate(voices(transcript))}
    begun = {chapter.segment: chapter for chapter in reversed(chapters)}
    found: list[Turn] = []
    anchors: set[str] = set()
    count = 0
    for group in _grouped(transcript, begun):
        first = group[0][0]
        paragraphs = []
        for segments in group:
            count += 1
            paragraphs.append(_paragraph(transcript, segments, count, anchors, adverts))
        called = names.get(first.speaker) or first.speaker
        found.append(Turn(called, voice.get(first.speaker, 0), begun.get(first.id), tuple(paragraphs)))
    return found


def paragraph_numbers(found: Sequence[Turn]) -> dict[int, int]:
    """Segment -> number of the paragraph that it stands in."""
    return {piece.id: paragraph.number for turn in found for paragraph in turn.paragraphs for piece in paragraph.pieces}


def _grouped(transcript: Transcript, begun: Mapping[int, Chapter]) -> list[list[list[Segment]]]:
    """Turns of paragraphs of segments."""
    groups: list[list[list[Segment]]] = []
    words = 0
    for segment in transcript.segments:
        if not groups or segment.speaker != groups[-1][-1][-1].speaker or segment.id in begun:
            groups.append([[segment]])
            words = 0
        elif segment.paragraph or words >= LONGEST:
            groups[-1].append([segment])
            words = 0
        else:
            groups[-1][-1].append(segment)
        words += segment.end - segment.first
    return groups


def _paragraph(
    transcript: Transcript, segments: Sequence[Segment], count: int, anchors: set[str], adverts: frozenset[int]
) -> Paragraph:
    start = transcript.start(segments[0].first)
    anchor = "" if start is None else f"t={int(start)}"
    if anchor in anchors:
        anchor = ""
    anchors.add(anchor)
    return Paragraph(count, start, anchor, tuple(_piece(transcript, segment, adverts) for segment in segments))


def _piece(transcript: Transcript, segment: Segment, adverts: frozenset[int]) -> Piece:
    words = transcript.words[segment.first : segment.end]
    start = transcript.start(segment.first)
    text = Markup(" ").join(_word(word) for word in words)
    timed = start is not None and transcript.timing is Timing.WORD
    word_starts = _word_starts(words, start) if timed and start is not None else ""
    sponsored = segment.id in adverts
    return Piece(segment.id, start, text, word_starts, sponsored, sponsored and segment.id - 1 not in adverts)


def _word(word: Word) -> Markup:
    shown = escape(printable(word.text))
    if word.doubtful or (word.probability is not None and word.probability < UNSURE):
        return Markup('<span class="unsure">{}</span>').format(shown)
    return shown


def _word_starts(words: Sequence[Word], start: float) -> str:
    """A word that contains blanks counts as several, as the script counts them."""
    starts: list[str] = []
    last = 0
    for word in words:
        last = last if word.start is None else max(last, round(100 * (word.start - start)))
        starts += [str(last)] * max(1, len(printable(word.text).split()))
    return " ".join(starts)


def seconds(start: float | None) -> str:
    """For an attribute: "" where unknown."""
    return "" if start is None else number(start)
