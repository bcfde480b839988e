"""Made conversations for the tests of the episode reader."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from whetstone.episodes.segments import segmented
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word

# Letters, digits and signs of many scripts, markup and entities among them; white space parts words and is no part.
_MARKUP = ["<b>", "&amp;", "&", "a<b", "x>y", "-->", "{\\an8}", "<v", "Bob>", "<00:00:01.000>", "&#58;"]
_WORDS = [
    "a",
    "Hello,",
    "world.",
    "42",
    "1",
    "NOTE",
    "Note:",
    "Ann:",
    "no:",
    "STYLE",
    "It's",
    "“Why?”",
    "3.5%",
    "日本語",
    "…",
]
_NO_CHARACTERS = ("Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp")
ANY_WORD = st.one_of(
    st.sampled_from(_MARKUP + _WORDS),
    st.text(st.characters(codec="utf-8", exclude_categories=_NO_CHARACTERS), min_size=1, max_size=8),
)
PLAIN_WORD = st.from_regex(r"[a-z]{1,8}[.,?!]?", fullmatch=True)
NAMES = ["", "Ann", "Bob Lee", "Dr. Čapek", "Speaker 3", "Q&A", "<Eve>"]


@st.composite
def transcripts(
    draw: st.DrawFn,
    timing: Timing | None = None,
    word: st.SearchStrategy[str] = ANY_WORD,
    names: list[str] = NAMES,
    most: int = 40,
) -> Transcript:
    """A transcript whose times are whole milliseconds, in order, as readers give them."""
    kind = draw(st.sampled_from(list(Timing))) if timing is None else timing
    texts = draw(st.lists(word, min_size=1, max_size=most))
    speaker, clock, left = draw(st.sampled_from(names)), draw(st.integers(0, 10**6)), 0
    words: list[Word] = []
    start = end = 0
    for text in texts:
        if draw(st.integers(0, 7)) == 0:
            speaker, left = draw(st.sampled_from(names)), 0
        if kind == Timing.WORD or left == 0:
            left = draw(st.integers(1, 9))
            start = clock + draw(st.integers(0, 3000))
            end = start + draw(st.integers(1, 2000))
            clock = end
        left -= 1
        times: dict[str, Any] = {} if kind == Timing.NONE else {"start": start / 1000, "end": end / 1000}
        words.append(Word(text, speaker=speaker, **times))
    return Transcript(tuple(words), segmented(words, kind), kind, Origin.PUBLISHER)


def said(*turns: tuple[str, str], timing: Timing = Timing.WORD, origin: Origin = Origin.PUBLISHER) -> Transcript:
    """A transcript of (speaker, words) turns, 0.4 s a word."""
    words = []
    for speaker, text in turns:
        for token in text.split():
            start = round(0.4 * len(words), 3)
            times: dict[str, Any] = {} if timing == Timing.NONE else {"start": start, "end": round(start + 0.3, 3)}
            words.append(Word(token, speaker=speaker, **times))
    return Transcript(tuple(words), segmented(words, timing), timing, origin)
