"""From what is known of an episode to the files of its page. Equal arguments give equal bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from whetstone.episodes.content import About, Badge, Claim, Content, Evidence, Line, Quote, Stance
from whetstone.episodes.first_person import speaker_of
from whetstone.episodes.page import exports
from whetstone.episodes.page.clock import clock
from whetstone.episodes.page.links import media, web_link
from whetstone.episodes.page.templates import fill, read
from whetstone.episodes.page.turns import Turn, paragraph_numbers, seconds, turns, voices
from whetstone.episodes.transcript import Origin, Timing, Transcript
from whetstone.errors import WorkFailed

PAGE, STYLE, SCRIPT = "index.html", "page.css", "page.js"
LEAD_IN = 0.3  # seconds before its first word that a quote is played from
TOGETHER = 4  # lines of the summary in a paragraph where no chapters say which belong together
STANCES = {  # class of the card, sign (never colour alone)
    Stance.SUPPORTED: ("supported", "✓"),
    Stance.CONTRADICTED: ("contradicted", "✗"),
    Stance.NOT_ENOUGH: ("open", "–"),
    Stance.NOT_CHECKABLE: ("open", "–"),
}
BADGES = {Badge.PUBLISHER: "publisher", Badge.MACHINE: "machine", Badge.LISTEN: "listen"}
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class Desk:
    """What a page in the library has that a page in a folder has not: ways back, and to what people may change.

    Addresses: `home` of the list, `search` of its search, `speakers` of the names' form, `dismiss` of the form for
    claims, `sentences` of the form that puts right who says a sentence, `note` a line to show above the page.
    """

    home: str
    search: str
    speakers: str
    dismiss: str
    sentences: str
    note: str = ""


def render(
    about: About, transcript: Transcript, content: Content, names: Mapping[str, str], desk: Desk | None = None
) -> dict[str, str]:
    """The files of the page: name -> text. `names`: what to call the transcript's speakers.

    Raises WorkFailed where the content points at words or segments that the transcript does not have.
    """
    check_points(transcript, content)
    files = {
        PAGE: _index(about, transcript, content, names, desk),
        STYLE: read("page/base.css") + read("page/page.css"),
        SCRIPT: read("page/page.js"),
    }
    return files | exports.exports(about, transcript, content, names)


def check_points(transcript: Transcript, content: Content) -> None:
    """Raises WorkFailed where the content points beyond the transcript, or a line points nowhere."""
    words, segments = len(transcript.words), len(transcript.segments)
    for line in (*content.paragraph, *content.summary, *content.takeaways):
        if not line.segments or not all(0 <= segment < segments for segment in line.segments):
            raise WorkFailed(f"the page was not written: its line {line.text[:60]!r} cites no part of the transcript")
    asked = [answered.asked for answered in content.answered if answered.asked is not None]
    for segment in (*asked, *(chapter.segment for chapter in content.chapters), *content.sponsored):
        if not 0 <= segment < segments:
            raise WorkFailed(f"the page was not written: the transcript has no segment {segment}")
    quotes = (*content.quotes, *(a.answer for a in content.answered), *(claim.said for claim in content.claims))
    for quote in quotes:
        if not 0 <= quote.first < quote.end <= words:
            raise WorkFailed(f"the page was not written: the transcript has no words {quote.first} to {quote.end}")


class Pointing:
    """Turns words and segments of a transcript into what the page's links need."""

    def __init__(self, transcript: Transcript, names: Mapping[str, str], audio: str | None, shown: Sequence[Turn]):
        self._transcript, self._names, self._audio = transcript, names, audio
        self._paragraphs = paragraph_numbers(shown)
        self._segments = [n for n, each in enumerate(transcript.segments) for _ in range(each.end - each.first)]

    def segment(self, segment: int) -> dict[str, Any]:
        """A link to a segment."""
        start = self._transcript.start(self._transcript.segments[segment].first)
        label = f"¶{self._paragraphs[segment]}" if start is None else clock(start)
        return {"href": f"#s{segment}", "label": label, "start": seconds(start), "timed": start is not None}

    def quote(self, quote: Quote) -> dict[str, Any]:
        """A quote with its words, who said them, when, and what to know of it."""
        start = self._transcript.start(quote.first)
        start = None if start is None else max(0.0, start - LEAD_IN)
        link = self.segment(self._segments[quote.first])
        if start is not None:
            link["start"] = seconds(start)
        return {
            "first": quote.first,
            "end": quote.end,
            "text": self._transcript.text(quote.first, quote.end),
            "speaker": self._names.get(quote.speaker) or quote.speaker,
            "link": link,
            # without scripts this opens the sound at its second
            "play": f"{self._audio}#t={link['start']}" if self._audio and link["timed"] else None,
            "badges": [(BADGES[badge], str(badge)) for badge in quote.badges],
        }

    def lines(self, lines: Sequence[Line]) -> list[dict[str, Any]]:
        """Lines with their links: one for each place that a reader can tell from the others."""
        told = []
        for line in lines:
            places: dict[str, dict[str, Any]] = {}
            for segment in line.segments:
                link = self.segment(segment)
                places.setdefault(link["label"], link)
            who = speaker_of(line, self._transcript)
            told.append({"text": line.text, "who": self._names.get(who) or who, "links": list(places.values())})
        return told


def _index(about: About, transcript: Transcript, content: Content, names: Mapping[str, str], desk: Desk | None) -> str:
    shown = turns(transcript, content.chapters, names, content.sponsored)
    audio = media(about.audio) if about.audio else None
    point = Pointing(transcript, names, audio, shown)
    claims = [_claim(claim, about, point) for claim in content.claims]
    return fill(
        "page/episode.html.j2",
        about=about,
        language=transcript.language if _LANGUAGE.fullmatch(transcript.language) else "",
        audio=audio,
        policy=policy(audio, desk is not None),
        people=about.people or tuple((names.get(voice) or voice, "") for voice in voices(transcript)),
        paragraph=point.lines(content.paragraph),
        summary=[point.lines(group) for group in _together(content)],
        takeaways=point.lines(content.takeaways),
        quotes=[point.quote(quote) for quote in content.quotes],
        answered=[
            {
                "question": answered.question,
                "asked": None if answered.asked is None else point.segment(answered.asked),
                "answer": point.quote(answered.answer),
            }
            for answered in content.answered
        ],
        searched=content.searched,
        claims=[claim for claim in claims if not claim["dismissed"]],
        dismissed=[claim for claim in claims if claim["dismissed"]],
        chapters=[{"title": chapter.title, "link": point.segment(chapter.segment)} for chapter in content.chapters],
        turns=shown,
        remote=web_link(about.audio) is not None,
        words=len(transcript.words),
        speakers=voices(transcript),
        machine=transcript.origin is Origin.MACHINE,
        timed=transcript.timing is not Timing.NONE,
        unsure=any("unsure" in piece.text for turn in shown for each in turn.paragraphs for piece in each.pieces),
        counts=content.counts,
        coverage=_coverage(content),
        made_by=content.made_by,
        sponsored=len(content.sponsored),
        notes=content.notes,
        by_model=content.made_by != Content().made_by,
        exports=exports.names(transcript),
        desk=desk,
    )


def policy(audio: str | None, served: bool) -> str:
    """The page's content security policy: its own script and style, the sound, and nothing else.

    served: by the library, where forms are sent to it.
    """
    # a page opened from a file has an origin that in some browsers not even its own folder is "self" of
    own = "'self'" if served else "'self' file:"
    sound = ""
    if audio is not None:
        # a podcast's address leads through several hosts before the sound comes
        sound = f" media-src {own}" + (" https: http:;" if web_link(audio) else ";")
    form = "'self'" if served else "'none'"
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; img-src data:;{sound} "
        f"base-uri 'none'; form-action {form}"
    )


def _together(content: Content) -> list[list[Line]]:
    """The lines of the summary in paragraphs: those of one chapter, else a few."""
    starts = sorted(chapter.segment for chapter in content.chapters)
    groups: list[list[Line]] = []
    before = -1
    for line in content.summary:
        chapter = sum(start <= line.segments[0] for start in starts)
        apart = chapter != before if starts else len(groups[-1]) >= TOGETHER if groups else True
        if apart or not groups:
            groups.append([])
        groups[-1].append(line)
        before = chapter
    return groups


def _claim(claim: Claim, about: About, point: Pointing) -> dict[str, Any]:
    kind, sign = STANCES[claim.stance]
    return {
        "id": claim.id,
        "text": claim.text,
        "said": point.quote(claim.said),
        "stance": str(claim.stance),
        "kind": kind,
        "sign": sign,
        "evidence": [_evidence(each, about) for each in claim.evidence],
        "dismissed": claim.dismissed,
    }


def _evidence(evidence: Evidence, about: About) -> dict[str, Any]:
    """With a warning where it is not of the episode's own time."""
    day, own = evidence.published[:10], about.published[:10]
    age = ""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", day) and re.fullmatch(r"\d{4}-\d\d-\d\d", own):
        if day > own:
            age = "newer than the episode"
        elif int(own[:4]) - int(day[:4]) >= 2:
            age = "years older than the episode"
    link = web_link(evidence.source)
    return {
        "parts": _decisive(evidence),
        "title": evidence.title,
        "source": evidence.source,
        "link": link,
        "host": urlsplit(link).hostname if link else None,
        "day": day,
        "age": age,
        "retrieved": evidence.retrieved,
    }


def _decisive(evidence: Evidence) -> tuple[str, str, str]:
    """The passage before the words that decide, these, and after them."""
    before, words, after = evidence.text.partition(evidence.words) if evidence.words else (evidence.text, "", "")
    return before, words, after


def _coverage(content: Content) -> str:
    """Rounded down: 100 % means all of it."""
    counts = content.counts
    return f"{100 * counts.covered // counts.segments} %" if counts.segments else ""
