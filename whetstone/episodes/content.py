"""What a page says of an episode. Everything in it points at words or segments of the transcript."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class About:
    """What the publisher tells of an episode. `published` is an ISO date; `seconds` the length; `guid` names it."""

    title: str
    show: str = ""
    published: str = ""
    seconds: float | None = None
    guid: str = ""
    link: str = ""
    description: str = ""
    people: tuple[tuple[str, str], ...] = ()  # (name, role)
    audio: str = ""  # where the page's player finds it: a file beside the page, or an address


@dataclass(frozen=True)
class Line:
    """A sentence of a summary, and the segments that say so (never none)."""

    text: str
    segments: tuple[int, ...]


class Badge(StrEnum):
    """What a reader should know of a quote before repeating it."""

    PUBLISHER = "publisher transcript"
    MACHINE = "machine transcript"
    LISTEN = "listen to check"


@dataclass(frozen=True)
class Quote:
    """Words `first` to `end` (not included), as the transcript has them. `speaker` is "" where it is not certain."""

    first: int
    end: int
    speaker: str = ""
    badges: tuple[Badge, ...] = ()


@dataclass(frozen=True)
class Answered:
    """A question that is answered in the conversation: the segment that asks (None: nobody asked it aloud) and the
    span of words that answers. `question` is the question's own text."""

    question: str
    asked: int | None
    answer: Quote


@dataclass(frozen=True)
class Chapter:
    """A part of the conversation, from segment `segment` on."""

    title: str
    segment: int


class Stance(StrEnum):
    """What the evidence says of a claim. Without evidence it is NOT_ENOUGH, never a verdict."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NOT_ENOUGH = "not enough evidence"
    NOT_CHECKABLE = "not checkable"


@dataclass(frozen=True)
class Evidence:
    """A passage of a source. `words`: the part of it that decides; `retrieved`: the day on which a search found it, ""
    for what the user added."""

    text: str
    title: str
    source: str  # an address or a file's name
    published: str = ""
    retrieved: str = ""
    words: str = ""


@dataclass(frozen=True)
class Claim:
    """Something that was said and could be checked: `said` are its words, `text` the same so that it stands alone."""

    id: str
    text: str
    said: Quote
    stance: Stance = Stance.NOT_ENOUGH
    evidence: tuple[Evidence, ...] = ()
    dismissed: bool = False


@dataclass(frozen=True)
class Counts:
    """What was proposed, what passed the checks (of which a page shows the best), and how much of the transcript was
    looked at."""

    quotes_proposed: int = 0
    quotes_kept: int = 0
    lines_proposed: int = 0
    lines_kept: int = 0
    segments: int = 0
    covered: int = 0
    seconds: float = 0.0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True)
class Content:
    """All of a page but the transcript. `made_by`: the model's name, or "no model". `sponsored`: segments that look
    like advertisements. `notes`: what a reader should know of how the page was made, a sentence each. `searched`: the
    same of a search for evidence."""

    paragraph: tuple[Line, ...] = ()
    summary: tuple[Line, ...] = ()
    takeaways: tuple[Line, ...] = ()
    quotes: tuple[Quote, ...] = ()
    answered: tuple[Answered, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    claims: tuple[Claim, ...] = ()
    counts: Counts = field(default_factory=Counts)
    made_by: str = "no model"
    sponsored: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()
