"""A page's content with a model: it reads every segment and proposes; the gates keep what is really there.

Map: each window gives points, quotes, answered questions and claims, all by segment number. Reduce: points are merged,
keeping their segments. Prose is written at the end, from kept points only. Whatever a gate refuses is counted and
logged, never shown. Where the model gave nothing that could be kept, what can be said without one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from whetstone.episodes.content import About, Answered, Chapter, Content, Counts, Line, Quote
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.faithful import check_lines
from whetstone.episodes.gate import Accepted, Gate
from whetstone.episodes.model.items import AnswerProposal, Items, QuoteProposal
from whetstone.episodes.model.judging import supported
from whetstone.episodes.model.merging import prose, reduced
from whetstone.episodes.model.shapes import MAP, MAP_ROOM, MAP_TASK, PROSE_ROOM, chat
from whetstone.episodes.model.windows import Window, covered, line, windows
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.transcript import Transcript

SHARE = 0.6  # of the model's context that a window may take
LARGEST_WINDOW = 4000  # tokens; a longer part is read less carefully
MOST_QUOTES, MOST_ANSWERS, MOST_CHAPTERS = 8, 10, 12
LONGEST_ANSWER = 60  # words of an answer that are shown

Told = Callable[[str, int, int], None]  # stage, done, wanted


@dataclass
class Reading:
    """What came of it: the content, claims that were made (still unchecked), and why what was proposed is not shown."""

    content: Content
    claims: list[tuple[str, Quote]] = field(
        default_factory=list
    )  # (the claim standing alone, the words that were said)
    refused: list[str] = field(default_factory=list)


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
    plain = content_without_model(about, transcript, chapters)
    most = min(LARGEST_WINDOW, int(SHARE * mapper.context), mapper.context - MAP_ROOM - 400)
    parts, left_out = windows(transcript, mapper.count, max(64, most))
    items, read_parts = _map(mapper, parts, told)
    gate, refused = Gate(transcript), [f"segment {place} is too long for the model" for place in left_out]

    told("merging", 0, 1)
    points, dropped = _kept(transcript, gate, items.points)
    room = max(256, min(int(SHARE * reducer.context), reducer.context - PROSE_ROOM - 400))
    merged = reduced(reducer, points, room)
    written = prose(reducer, merged)
    told("merging", 1, 1)

    proposed = sum(map(len, written[:3]))
    sections: list[tuple[Line, ...]] = []
    for lines in written[:3]:
        kept, bad = _kept(transcript, gate, lines)
        if judged and kept:
            told("checking", len(sections), 3)
            looks = supported(reducer, [each.text for each in kept], [_passages(transcript, each) for each in kept])
            bad += [f'not supported: "{each.text}"' for each, good in zip(kept, looks, strict=True) if not good]
            kept = [each for each, good in zip(kept, looks, strict=True) if good]
        dropped += bad
        sections.append(tuple(kept))
    refused += dropped
    quotes, quote_refusals = _quotes(gate, items.quotes)
    answered, answer_refusals = _answers(gate, transcript, items.answers)
    refused += quote_refusals + answer_refusals
    claims = []
    for claim in items.claims:
        found = gate.words(transcript.segments[claim.segment].first, transcript.segments[claim.segment].end)
        if isinstance(found, Accepted):
            claims.append((claim.text, found.quote))
        else:
            refused.append(f"claim: {found}")

    own = Counts(
        quotes_proposed=len(items.quotes),
        quotes_kept=len(quotes),
        lines_proposed=proposed + len(items.points) + items.strays,
        lines_kept=sum(map(len, sections)) + len(points),
        segments=len(transcript.segments),
        covered=len(covered(parts, read_parts)),
        prompt_tokens=mapper.prompt_tokens + (reducer.prompt_tokens if reducer is not mapper else 0),
        answer_tokens=mapper.answer_tokens + (reducer.answer_tokens if reducer is not mapper else 0),
    )
    content = _together(plain, sections, quotes, answered, _chapters(items, parts, chapters), own)
    name = mapper.name if reducer is mapper else f"{mapper.name} and {reducer.name}"
    missing = [part for part, lines in zip(("paragraph", "summary", "takeaways"), sections, strict=True) if not lines]
    note = f"; without a model: {', '.join(missing)}" if missing else ""
    return Reading(replace(content, made_by=name + note), claims, refused)


def _map(writer: Writer, parts: Sequence[Window], told: Told) -> tuple[Items, list[bool]]:
    asks = [chat(MAP_TASK, part.text) for part in parts]
    answers = writer.write(asks, MAP, MAP_ROOM, lambda done, wanted: told("reading", done, wanted))
    items = Items()
    for part, answer in zip(parts, answers, strict=True):
        if answer.value is not None:
            items.add(answer.value, part.first, part.end)
    return items, [answer.value is not None for answer in answers]


def _kept(transcript: Transcript, gate: Gate, lines: Sequence[Line]) -> tuple[list[Line], list[str]]:
    """Lines whose numbers, names and quoted words are in the segments that they cite, and why others are not kept."""
    kept, dropped = check_lines(lines, transcript, gate=gate)
    return list(kept), [str(each) for each in dropped]


def _quotes(gate: Gate, proposals: Sequence[QuoteProposal]) -> tuple[list[Quote], list[str]]:
    kept: list[Quote] = []
    refused = []
    for proposal in proposals:
        near = range(max(0, proposal.segment - 1), proposal.segment + 3)  # a copied passage may run over sentences
        result = gate.check(proposal.words, segments=near)
        if not isinstance(result, Accepted):
            refused.append(str(result))
            continue
        wide = gate.whole(result.quote)
        if not any(wide.first < other.end and other.first < wide.end for other in kept):
            kept.append(wide)
    return sorted(_spread(kept, MOST_QUOTES), key=lambda quote: quote.first), refused


def _answers(
    gate: Gate, transcript: Transcript, proposals: Sequence[AnswerProposal]
) -> tuple[list[Answered], list[str]]:
    """The question in the transcript's own words, for a model's rewording could change it."""
    kept: list[Answered] = []
    refused = []
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
    return kept[:MOST_ANSWERS], refused


def _passages(transcript: Transcript, cited: Line) -> list[str]:
    """The cited segments, each with its neighbours, as a judge sees them."""
    last = len(transcript.segments) - 1
    near = sorted({place for each in cited.segments for place in range(max(0, each - 1), min(last, each + 1) + 1)})
    return [line(transcript, place) for place in near]


def _chapters(items: Items, parts: Sequence[Window], given: Sequence[Chapter]) -> tuple[Chapter, ...]:
    if given or len(parts) < 2:
        return tuple(given)
    found = [Chapter(title, first) for first, title in items.titles]
    return tuple(_spread(found, MOST_CHAPTERS))


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
) -> Content:
    """The model's where it gave any, else what can be said without one."""
    return replace(
        plain,
        paragraph=sections[0] or plain.paragraph,
        summary=sections[1] or plain.summary,
        takeaways=sections[2] or plain.takeaways,
        quotes=tuple(quotes) or plain.quotes,
        answered=tuple(answered) or plain.answered,
        chapters=tuple(chapters) or plain.chapters,
        counts=own,
    )
