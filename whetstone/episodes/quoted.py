"""Where a text puts words between quotation marks."""

from __future__ import annotations

import re

from whetstone.episodes.normal import tokens

FEWEST_QUOTED = 4
_PAIRS = {'"': '"', "“": "”", "„": "”“‟", "«": "»", "‹": "›", "「": "」", "『": "』", "‟": "”", "”": "”", "＂": "＂"}
# a single mark opens a quotation only before a word and after a space: else it is an apostrophe
_SINGLE = re.compile(r"(?<![\w'’])['‘‚`](?=\w)")
_CLOSES_SINGLE = re.compile(r"(?<=[\w.,!?…])['’‘](?!\w)")


def quoted_runs(text: str, fewest: int = FEWEST_QUOTED) -> tuple[str, ...]:
    """What stands between quotation marks in `text`, runs of `fewest` words or more. A mark that is never closed
    quotes the rest of the text."""
    runs = [*_double(text), *_single(text)]
    return tuple(run for run in runs if len(tokens(run)) >= fewest)


def _double(text: str) -> list[str]:
    found = []
    at = 0
    while at < len(text):
        if text[at] not in _PAIRS:
            at += 1
            continue
        closing = _PAIRS[text[at]] + '"'
        end = next((i for i in range(at + 1, len(text)) if text[i] in closing), len(text))
        found.append(text[at + 1 : end])
        at = end + 1
    return found


def _single(text: str) -> list[str]:
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
        found.append(text[opening.end() : end])
        at = end + 1
    return found
