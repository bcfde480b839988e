"""The page for other programs: Markdown, JSON, and the transcript as WebVTT."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from whetstone.episodes.content import About, Claim, Content, Line, Quote
from whetstone.episodes.first_person import speaker_of
from whetstone.episodes.formats import vtt
from whetstone.episodes.page.clock import clock
from whetstone.episodes.page.links import web_link
from whetstone.episodes.page.turns import Piece, turns
from whetstone.episodes.transcript import Timing, Transcript
from whetstone.text import printable

MARKDOWN, JSON, VTT = "episode.md", "episode.json", "transcript.vtt"


def names(transcript: Transcript) -> list[tuple[str, str]]:
    """(what it is, the file's name) of each export; a transcript without times has no WebVTT."""
    all_of_them = [("Markdown", MARKDOWN), ("JSON", JSON)]
    return [*all_of_them, ("WebVTT", VTT)] if _timed(transcript) else all_of_them


def _timed(transcript: Transcript) -> bool:
    return transcript.timing is not Timing.NONE and any(word.start is not None for word in transcript.words)


def exports(about: About, transcript: Transcript, content: Content, called: Mapping[str, str]) -> dict[str, str]:
    """The files: name -> text. `called`: what to call a speaker."""
    files = {
        MARKDOWN: markdown(about, transcript, content, called),
        JSON: as_json(about, transcript, content, called),
    }
    if _timed(transcript):
        files[VTT] = vtt.write(renamed(transcript, called))
    return files


def renamed(transcript: Transcript, called: Mapping[str, str]) -> Transcript:
    """The transcript with its speakers called by their names."""
    words = tuple(replace(word, speaker=called.get(word.speaker) or word.speaker) for word in transcript.words)
    segments = tuple(replace(each, speaker=called.get(each.speaker) or each.speaker) for each in transcript.segments)
    return replace(transcript, words=words, segments=segments)


def as_json(about: About, transcript: Transcript, content: Content, called: Mapping[str, str]) -> str:
    """All of it. Quotes carry their text and second, so that a reader needs no second look at the words."""
    sponsored = frozenset(content.sponsored)
    told: dict[str, Any] = {
        "about": asdict(about),
        "speakers": dict(called),
        "content": asdict(content),
        "transcript": {
            "language": transcript.language,
            "timing": transcript.timing,
            "origin": transcript.origin,
            "segments": [
                {
                    "id": segment.id,
                    "first": segment.first,
                    "end": segment.end,
                    "speaker": segment.speaker,
                    "start": transcript.start(segment.first),
                    "text": transcript.segment_text(segment.id),
                    "sponsored": segment.id in sponsored,
                }
                for segment in transcript.segments
            ],
        },
    }
    found = told["content"]
    for quote in (*found["quotes"], *(a["answer"] for a in found["answered"]), *(c["said"] for c in found["claims"])):
        quote["text"] = transcript.text(quote["first"], quote["end"])
        quote["start"] = transcript.start(quote["first"])
    return json.dumps(told, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "replace").decode() + "\n"


def markdown(about: About, transcript: Transcript, content: Content, called: Mapping[str, str]) -> str:
    """The page as a text that people keep: the same parts in the same order, the transcript last."""
    parts = [f"# {text(about.title)}", _head(about, content)]
    for title, lines in (
        ("In short", content.paragraph),
        ("Takeaways", content.takeaways),
        ("Summary", content.summary),
    ):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {_line(line, transcript, called)}" for line in lines)]
    if content.quotes:
        parts += ["## Quotes", *(_quote(quote, transcript, called) for quote in content.quotes)]
    if content.answered:
        parts.append("## Questions and answers")
        for answered in content.answered:
            parts += [f"### {text(answered.question)}", _quote(answered.answer, transcript, called)]
    if content.claims:
        parts += ["## Claims", *map(text, content.searched)]
        parts += [*(_claim(claim, transcript, called) for claim in content.claims if not claim.dismissed)]
    parts += ["## Transcript", *_transcript(transcript, content, called)]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: str) -> str:
    """A stranger's text as one line of Markdown that means nothing but itself."""
    line = " ".join(printable(value).split())
    line = re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])|^([-+=])", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)


def _head(about: About, content: Content) -> str:
    people = ", ".join(f"{text(name)} ({text(role)})" if role else text(name) for name, role in about.people)
    link = web_link(about.link)
    facts = [
        text(about.show),
        text(about.published[:10]),
        "" if about.seconds is None else clock(about.seconds),
        people,
        f"<{link}>" if link else "",
        f"Made by Whetstone with {text(content.made_by)}",
        *(text(note) for note in content.notes),
    ]
    return "\n".join(f"- {fact}" for fact in facts if fact)


def _when(transcript: Transcript, word: int) -> str:
    start = transcript.start(word)
    return "" if start is None else clock(start)


def _line(line: Line, transcript: Transcript, called: Mapping[str, str]) -> str:
    times = dict.fromkeys(_when(transcript, transcript.segments[each].first) for each in line.segments)
    who = speaker_of(line, transcript)
    cited = ", ".join(each for each in (text(called.get(who) or who), *times) if each)
    return text(line.text) + (f" ({cited})" if cited else "")


def _quote(quote: Quote, transcript: Transcript, called: Mapping[str, str]) -> str:
    facts = [
        text(called.get(quote.speaker) or quote.speaker),
        _when(transcript, quote.first),
        *(str(each) for each in quote.badges),
    ]
    told = ", ".join(fact for fact in facts if fact)
    return f"> {text(transcript.text(quote.first, quote.end))}" + (f"\n>\n> — {told}" if told else "")


def _claim(claim: Claim, transcript: Transcript, called: Mapping[str, str]) -> str:
    parts = [f"### {text(claim.text)}", f"Verdict: {claim.stance}", _quote(claim.said, transcript, called)]
    for each in claim.evidence:
        link = web_link(each.source)
        found = f"found by search on {text(each.retrieved)}" if each.retrieved else ""
        where = ", ".join(part for part in (text(each.title), text(each.published[:10]), found) if part)
        source = f"<{link}>" if link else text(each.source)
        parts.append(f"Evidence: “{text(each.text)}” — {where} {source}")
    return "\n\n".join(parts)


def _transcript(transcript: Transcript, content: Content, called: Mapping[str, str]) -> Sequence[str]:
    parts = []
    for turn in turns(transcript, content.chapters, called, content.sponsored):
        if turn.chapter is not None:
            parts.append(f"### {text(turn.chapter.title)}")
        for n, paragraph in enumerate(turn.paragraphs):
            who = f"**{text(turn.speaker)}** " if turn.speaker and n == 0 else ""
            when = "" if paragraph.start is None else f"({clock(paragraph.start)}) "
            said = " ".join(_piece(transcript, piece) for piece in paragraph.pieces)
            parts.append(f"{who}{when}{said}")
    return parts


def _piece(transcript: Transcript, piece: Piece) -> str:
    return ("*(advertisement?)* " if piece.opens else "") + text(transcript.segment_text(piece.id))
