"""What every reader of transcripts gives, and the cleaning that makes strangers' text harmless data."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass, field

from whetstone.episodes.transcript import Origin, Timing, Word
from whetstone.errors import UsageError

LARGEST_FILE = 64 << 20  # bytes; ten hours as JSON with a time for each word are below 20 MB
MOST_WORDS = 1_000_000  # in one transcript; ten hours of quick talk are 150,000
LONGEST_WORD = 1000  # characters between two spaces; longer ones are cut in pieces
LONGEST_NAME = 80  # characters of a speaker's name
LONGEST_TIME = 1000 * 3600.0  # seconds; a later time is a mistake and is left out

# What is never part of a word: control characters, overrides of the writing direction, halves of surrogate pairs,
# tags and other characters that nobody sees. Joiners stay: scripts and emoji need them.
_NEVER = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\u2060-\u2069\u202a-\u202e\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f\ue000-\uf8ff\U000f0000-\U0010ffff]"
)
_REFERENCE_TOO_LONG = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")


@dataclass(frozen=True)
class Reading:
    """The content of a transcript file. `breaks`: words before which its author begins a paragraph. `notes`: what had
    to be forgiven or was left out, for the person who imports it."""

    words: tuple[Word, ...]
    timing: Timing
    breaks: frozenset[int] = frozenset()
    origin: Origin = Origin.PUBLISHER
    language: str = ""
    title: str = ""
    format: str = ""
    notes: tuple[str, ...] = field(default=())


def cleaned(text: str) -> str:
    """`text` without characters that steer a terminal, turn the writing around or are not seen. Spaces stay."""
    if text.isascii() and text.isprintable():
        return text
    return _NEVER.sub("", text)


def tokens(text: str) -> list[str]:
    """The words of a text, cleaned: what stands between white space."""
    found = cleaned(text).split()
    if any(len(token) > LONGEST_WORD for token in found):
        return [
            token[at : at + LONGEST_WORD] for token in found for at in range(0, len(token), LONGEST_WORD)
        ]  # fmt: skip
    return found


def name(text: str) -> str:
    """A speaker's name in one line, cleaned; "" where nothing is left. What is too long to be one is cut."""
    return " ".join(cleaned(text).split()).strip(":,;- ").strip()[:LONGEST_NAME].strip()


def unescaped(text: str) -> str:
    """HTML character references as characters; impossible ones become U+FFFD."""
    if "&" not in text:
        return text
    return html.unescape(_REFERENCE_TOO_LONG.sub("\ufffd", text))


def seconds(value: object) -> float | None:
    """A time to the millisecond; None for what is no time: other types, NaN, negative, beyond a thousand hours."""
    if isinstance(value, str):
        return clock(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= LONGEST_TIME or math.isnan(value):
        return None
    return round(float(value), 3)


_CLOCK = re.compile(r"\s*(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,6})(?:[.,](\d{1,6}))?\d*\s*s?\s*", re.ASCII)


def clock(text: str) -> float | None:
    """`h:mm:ss`, `m:ss` or `ss`, with a fraction after a dot or a comma, in seconds; None where it is none."""
    found = _CLOCK.fullmatch(text[:64])
    if found is None:
        return None
    hours, minutes, whole, fraction = found.groups()
    value = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(whole) + float(f"0.{fraction or 0}")
    return round(value, 3) if value <= LONGEST_TIME else None


def shown_clock(value: float, mark: str = ".", digits: int = 3) -> str:
    """`hh:mm:ss.mmm`; `mark` stands before the fraction of `digits` digits (0: whole seconds, rounded down)."""
    total = round(value * 1000)
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, thousandths = divmod(rest, 1000)
    text = f"{hours:02d}:{minutes:02d}:{whole:02d}"
    return f"{text}{mark}{thousandths:03d}" if digits else text


def checked(words: list[Word], what: str) -> tuple[Word, ...]:
    """The words of a file, if there are any and not too many. Raises UsageError."""
    if not words:
        raise UsageError(f"{what} holds no words")
    if len(words) > MOST_WORDS:
        raise UsageError(f"{what} holds {len(words):,} words; at most {MOST_WORDS:,} are read: cut it in parts")
    return tuple(words)
