"""Where a text puts words between quotation marks."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from whetstone.episodes.normal import tokens

FEWEST_QUOTED = 4
_PAIRS = {'"': '"', "“": "”", "„": "”“‟", "«": "»", "‹": "›", "「": "」", "『": "』", "‟": "”", "”": "”", "＂": "＂"}
_ODD = str.maketrans("❝❞〝〞〟″‶ʺ｢｣❛❜´′", '“”“””"""「」‘’\'\'')
_DOUBLED = (("``", "“"), ("''", '"'), ("<<", "«"), (">>", "»"), (",,", "„"))
_SPOKEN_TO = frozenset({"to", "told", "tells", "asks", "asked", "with", "for", "reminds", "against", "about", "of"})
_ASKING = frozenset({"asked", "pressed", "prompted", "question", "questions"})
# a single mark opens a quotation only before a word and after a space: else it is an apostrophe
_SINGLE = re.compile(r"(?<![\w'’])['‘‚`](?=\w)")
_CLOSES_SINGLE = re.compile(r"(?<=[\w.,!?…])['’‘](?!\w)")


@dataclass(frozen=True)
class Run:
    """Words between quotation marks, and the text before and after them."""

    text: str
    before: str
    after: str


def quoted_runs(text: str, fewest: int = FEWEST_QUOTED) -> tuple[Run, ...]:
    """What stands between quotation marks in `text`, runs of `fewest` words or more. A mark that is never closed
    quotes the rest of the text."""
    text = html.unescape(text).translate(_ODD)
    for doubled, mark in _DOUBLED:
        text = text.replace(doubled, mark)
    places = [*_double(text), *_single(text)]
    runs = (Run(text[first:end], text[:first], text[end:]) for first, end in places)
    return tuple(run for run in runs if len(tokens(run.text)) >= fewest)


def credited(run: Run, speakers: Collection[str]) -> str:
    """Who of the speakers is said to say the words: the last one named before them who is not spoken to, else the first
    named after them; "" for nobody that is known."""
    owners: dict[str, set[str]] = {}
    for speaker in speakers:
        for token in tokens(speaker):
            owners.setdefault(token, set()).add(speaker)
    for line, nearest_first in ((tokens(run.before), True), (tokens(run.after), False)):
        places = range(len(line) - 1, -1, -1) if nearest_first else range(len(line))
        for at in places:
            who = owners.get(line[at], set())
            begins = at
            while begins and owners.get(line[begins - 1], set()) & who:
                begins -= 1
            if len(who) == 1 and not _spoken_to(line[:begins]):
                return next(iter(who))
    return ""


def _spoken_to(before: Sequence[str]) -> bool:
    """Whether who is named after these words hears or asks: "told Ann", "asked by Ann"."""
    asked = len(before) > 1 and before[-1] in {"by", "from"} and before[-2] in _ASKING
    return asked or (bool(before) and before[-1] in _SPOKEN_TO)


def _double(text: str) -> list[tuple[int, int]]:
    found = []
    at = 0
    while at < len(text):
        if text[at] not in _PAIRS:
            at += 1
            continue
        closing = _PAIRS[text[at]] + '"'
        end = next((i for i in range(at + 1, len(text)) if text[i] in closing), len(text))
        found.append((at + 1, end))
        at = end + 1
    return found


def _single(text: str) -> list[tuple[int, int]]:
    found = []
    at = 0
    while opening := _SINGLE.search(text, at):
        following = _SINGLE.search(text, opening.end())
        limit = following.start() if following else len(text)
        closing = [mark.start() for mark in _CLOSES_SINGLE.finditer(text, opening.end(), limit)]
        if closing:
            # "investors' money" may be inside: after an "s" the mark may be a plural's, and the last one decides
            end = closing[-1] if text[closing[0] - 1] in "sS" else closing[0]
        elif opening.group() in "‘‚" and not text[opening.end()].isdigit():
            end = len(text)
        else:
            at = opening.end()
            continue
        found.append((opening.end(), end))
        at = end + 1
    return found
