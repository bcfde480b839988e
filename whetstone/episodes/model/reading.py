"""A page's content with a model: it reads every segment and proposes; the gates keep what is really there.

Map: each window gives points, quotes, answered questions and claims, all by segment number. Reduce: points are merged,
keeping their segments. Prose is written at the end, from kept points only. Whatever a gate refuses is counted and
logged, never shown. Where the model gave nothing that could be kept, what can be said without one takes its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from whetstone.episodes.content import About, Answered, Chapter, Content, Counts, Line, Quote
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.gate.faithful import check_lines
from whetstone.episodes.model.items import AnswerProposal, ClaimProposal, Items, QuoteProposal
from whetstone.episodes.model.lines import Examiner
from whetstone.episodes.model.merging import prose, reduced
from whetstone.episodes.model.shapes import MAP, MAP_ROOM, MAP_TASK, PROSE_ROOM, chat
from whetstone.episodes.model.windows import Window, covered, halves, windows
from whetstone.episodes.model.writer import Writer, Written
from whetstone.episodes.transcript import Transcript

SHARE = 0.6  # of the model's context that a window may take
LARGEST_WINDOW = 4000  # tokens; a longer part is read less carefully
MOST_QUOTES, MOST_ANSWERS, MOST_CHAPTERS = 8, 10, 12
LONGEST_ANSWER = 60  # words of an answer that are shown

SECTIONS = ("paragraph", "summary", "takeaways")
Told = Callable[[str, int, int], None]  # stage, done, wanted


@dataclass
class Reading:
    """What came of it: the content; claims that were made, still unchecked, as (the claim standing alone, the words
    that were said); why what was proposed is not shown; and how many parts nobody answered for, so that trying again
    may give more."""

    content: Content
    claims: list[tuple[str, Quote]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unheard: int = 0


def read(
    about: About,
    transcript: Transcript,
    mapper: Writer,
    reducer: Writer | None = None,
    chapters: Sequence[Chapter] = (),
    judged: bool = True,
    told: Told = lambda stage, done, wanted: None,
) -> Reading:
    """Read a transcript with a model: `mapper` for the parts, `reducer` (default: the same) for merging, prose and,
    where `judged`, for a look at every line. `chapters` are the publisher's, which go before a model's.
    """
    reducer = reducer or mapper
    began = time.perf_counter()
    writers = [mapper] if reducer is mapper else [mapper, reducer]
    spent = sum(writer.prompt_tokens for writer in writers), sum(writer.answer_tokens for writer in writers)
    plain = content_without_model(about, transcript, chapters)
    most = min(LARGEST_WINDOW, int(SHARE * mapper.context), mapper.context - MAP_ROOM - 400)
    parts, left_out = windows(transcript, mapper.count, max(64, most))
    items, read_parts, parts, unheard = _map(mapper, parts, told)
    gate = Gate(transcript)
    refused = [f"segment {place} is too long for the model" for place in left_out]

    points, dropped = check_lines(items.points, transcript, gate=gate)
    refused += map(str, dropped)
    sections, proposed = _sections(reducer, transcript, gate, points, judged, told, refused)
    quotes, accepted = _quotes(gate, items.quotes, refused)
    answered = _answers(gate, transcript, items.answers, refused)
    claims = _claims(gate, transcript, items.claims, refused)
    titled = _chapters(gate, transcript, items, parts, refused) if not chapters and len(parts) > 1 else chapters
    own = Counts(
        quotes_proposed=len(items.quotes),
        quotes_kept=accepted,
        lines_proposed=proposed + len(items.points) + items.strays,
        lines_kept=sum(map(len, sections)) + len(points),
        segments=len(transcript.segments),
        covered=len(covered(parts, read_parts)),
        seconds=time.perf_counter() - began,
        prompt_tokens=sum(writer.prompt_tokens for writer in writers) - spent[0],
        answer_tokens=sum(writer.answer_tokens for writer in writers) - spent[1],
    )
    content, missing = _together(plain, sections, quotes, answered, titled, own)
    note = f"; without a model: {', '.join(missing)}" if missing else ""
    made_by = " and ".join(writer.name for writer in writers) + note
    return Reading(replace(content, made_by=made_by), claims, refused, unheard)


def _sections(
    writer: Writer,
    transcript: Transcript,
    gate: Gate,
    points: Sequence[Line],
    judged: bool,
    told: Told,
    refused: list[str],
) -> tuple[list[tuple[Line, ...]], int]:
    """Paragraph, summary and takeaways from the points, what passes of them; and how many lines were written."""
    told("merge", 0, 2)
    room = max(256, min(int(SHARE * writer.context), writer.context - PROSE_ROOM - 400))
    merged = reduced(writer, points, room)
    told("merge", 1, 2)
    written = prose(writer, merged)
    told("merge", 2, 2)
    examiner = Examiner(transcript, gate, writer, judged)
    sections = []
    for name, lines in zip(SECTIONS, written, strict=True):
        looked = examiner.examine(lines, partial(told, f"check {name} (looks)"))
        refused += looked.dropped
        sections.append(looked.kept)
    return sections, sum(map(len, written))


def _map(writer: Writer, parts: Sequence[Window], told: Told) -> tuple[Items, list[bool], list[Window], int]:
    """What the model proposes; whether it read each window; the windows, those that it failed on in halves; and how
    many answers never came."""
    answers = _asked(writer, parts, "read (parts)", told)
    halved = [half for part, each in zip(parts, answers, strict=True) if each.value is None for half in halves(part)]
    if halved:
        answers += _asked(writer, halved, "read again in halves (parts)", told)
    everything = [*parts, *halved]
    items = Items()
    for part, answer in zip(everything, answers, strict=True):
        if answer.value is not None:
            items.add(answer.value, part.first, part.end)
    read_parts = [answer.value is not None for answer in answers]
    return items, read_parts, everything, sum(not answer.came for answer in answers)


def _asked(writer: Writer, parts: Sequence[Window], stage: str, told: Told) -> list[Written]:
    asks = [chat(MAP_TASK, part.text) for part in parts]
    return writer.write(asks, MAP, MAP_ROOM, lambda done, wanted: told(stage, done, wanted))


def _quotes(gate: Gate, proposals: Sequence[QuoteProposal], refused: list[str]) -> tuple[list[Quote], int]:
    """The quotes to show, and how many passed the gate."""
    kept: list[Quote] = []
    accepted = 0
    for proposal in proposals:
        near = range(max(0, proposal.segment - 1), proposal.segment + 3)  # a copied passage may run over sentences
        result = gate.check(proposal.words, segments=near)
        if not isinstance(result, Accepted):
            refused.append(f"quote: {result}")
            continue
        whole = gate.whole(result.quote)
        if not isinstance(whole, Accepted):
            refused.append(f"quote: {whole}")
            continue
        accepted += 1
        wide = whole.quote
        if not any(wide.first < other.end and other.first < wide.end for other in kept):
            kept.append(wide)
    return sorted(_spread(kept, MOST_QUOTES), key=lambda quote: quote.first), accepted


def _answers(
    gate: Gate, transcript: Transcript, proposals: Sequence[AnswerProposal], refused: list[str]
) -> list[Answered]:
    """The question in the transcript's own words, for a model's rewording could change it."""
    kept: list[Answered] = []
    for proposal in proposals:
        asked, begins = transcript.segments[proposal.asked], transcript.segments[proposal.answered]
        question = transcript.segment_text(proposal.asked)
        if "?" not in question or asked.speaker == begins.speaker != "":
            refused.append(f'no question that somebody else answers: "{question[:80]}"')
            continue
        end = begins.end
        for segment in transcript.segments[begins.id + 1 :]:
            if segment.speaker != begins.speaker or segment.end - begins.first > LONGEST_ANSWER:
                break
            end = segment.end
        result = gate.words(begins.first, end)
        if isinstance(result, Accepted) and all(each.asked != proposal.asked for each in kept):
            kept.append(Answered(question, proposal.asked, result.quote))
        elif not isinstance(result, Accepted):
            refused.append(f"answer: {result}")
    return kept[:MOST_ANSWERS]


def _claims(
    gate: Gate, transcript: Transcript, proposals: Sequence[ClaimProposal], refused: list[str]
) -> list[tuple[str, Quote]]:
    """Claims with the words that were said. One whose rewording has other numbers or names than what was said there is
    shown in those words instead."""
    claims = []
    for claim in proposals:
        segment = transcript.segments[claim.segment]
        found = gate.words(segment.first, segment.end)
        if not isinstance(found, Accepted):
            refused.append(f"claim: {found}")
            continue
        near = range(max(0, segment.id - 2), min(len(transcript.segments), segment.id + 2))
        _, wrong = check_lines([Line(claim.text, tuple(near))], transcript, gate=gate)
        refused += [f"claim reworded wrongly: {each}" for each in wrong]
        claims.append((transcript.segment_text(segment.id) if wrong else claim.text, found.quote))
    return claims


def _chapters(
    gate: Gate, transcript: Transcript, items: Items, parts: Sequence[Window], refused: list[str]
) -> tuple[Chapter, ...]:
    """A model's titles of its parts, those that have nothing in them which is not said there."""
    ends = {part.first: part.end for part in parts}
    titles = [Line(title, tuple(range(first, ends[first]))) for first, title in sorted(items.titles)]
    kept, dropped = check_lines(titles, transcript, gate=gate)
    refused += [f"chapter: {each}" for each in dropped]
    return tuple(_spread([Chapter(line.text, line.segments[0]) for line in kept], MOST_CHAPTERS))


def _spread(items: list, most: int) -> list:  # type: ignore[type-arg]
    """At most so many, evenly over the list, the first one included."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _together(
    plain: Content,
    sections: Sequence[tuple[Line, ...]],
    quotes: Sequence[Quote],
    answered: Sequence[Answered],
    chapters: Sequence[Chapter],
    own: Counts,
) -> tuple[Content, list[str]]:
    """The model's where it gave any, else what can be said without one; and what was taken from there."""
    parts = {
        **dict(zip(SECTIONS, sections, strict=True)),
        "quotes": tuple(quotes),
        "answered": tuple(answered),
        "chapters": tuple(chapters),
    }
    own_parts: dict[str, Any] = {name: value for name, value in parts.items() if value}
    missing = [name for name in parts if name not in own_parts and getattr(plain, name)]
    called = ["answers" if name == "answered" else name for name in missing]
    return replace(plain, **own_parts, counts=own), called
