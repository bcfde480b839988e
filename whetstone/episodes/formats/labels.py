"""`Name:` before what somebody says: which of the words before a colon are names, and which are only words.

A wrong name is worse than a missing one, so a label counts only if it looks like a name and the file uses it as one:
more than once, or after a sentence had ended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from whetstone.episodes.formats.reading import name as clean_name

# >> Name:  - Name:  [Name]:  **Name:**  (a colon that is written &#58; is no label, see the VTT writer)
_NAMED = (
    r"(?P<all>\s*(?P<turn>(?:>{2,}|&gt;&gt;|[-\u2013\u2014])\s*)?[*_#]{0,3}[\[(]?"
    r"(?P<name>[^\W_](?:[^:\[\]()<>*&\n]|&amp;){0,60}?)[\])]?(?:[*_]{1,3})?\s?:[*_]{0,3})"
)
_LABEL = re.compile(rf"{_NAMED}(?=\s|$)")
_TIGHT = re.compile(rf"{_NAMED}(?=[\"\u201c\u2018'(]?[^\W\d_])")
_WORD = re.compile(r"(?:[^\W\d_][\w.'\u2019\-]*|#?\d{1,3}[a-z]?|&|&amp;)")
_NUMBERED = re.compile(
    r"(?:speaker|host|guest|interviewer|interviewee|moderator|caller|voice|person|participant|unknown|spk|narrator)"
    r"(?:[ _\-]?#?(?:\d{1,3}|[a-z]))?",
    re.IGNORECASE,
)
_IN_NAMES = "de da di do dos du del der den von van zu la le el al bin ibn ben of the and y e und et & &amp;"
_PARTICLES = frozenset(_IN_NAMES.split())
_OTHER_LABELS = """
    note notes warning conclusion question questions answer answers example examples update spoiler tip tips fact facts
    summary result results reason reasons translation chapter part step source sources music title date time topic
    topics transcript guests hosts subject intro outro introduction episode link links website email phone address
    remember important caution attention disclaimer sponsor rule lesson problem solution pros cons point points option
    options monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december today tomorrow yesterday http https ps nb re fw
"""
_FUNCTION_WORDS = """
    the a an and or but so then if when where what why who how that this these those it he she we they you i my our
    your his her their its there here is are was were do does did have has had can could will would should not no yes
    for from with at in on by as to of because first second third fourth fifth last next one two three four five also
    now just like well look listen see think say says said all some any every each both more most only even still
"""
_NEVER_A_NAME = frozenset(_OTHER_LABELS.split())
_NEVER_FIRST = frozenset(_FUNCTION_WORDS.split())
_ENDS = re.compile(r"[.?!\u2026\u3002\uff1f\uff01][\"'\u201d\u2019\u00bb)\]]*$|[\])\u266a]$|-{2}$|[\u2013\u2014]$")


@dataclass(frozen=True, slots=True)
class Label:
    """What may be a name: `count` words of the text belong to it. `fresh`: a sentence had ended before it, or nothing
    had been said. `turn`: a mark of its own (">>", "-") says that somebody else begins."""

    name: str
    count: int
    end: int
    turn: bool = False
    fresh: bool = True


def label(text: str, fresh: bool = True, tight: bool = False) -> Label | None:
    """The words before a colon at the very beginning of `text`, if they could be a name; `end`: characters it takes.

    tight: what is said may follow the colon without a space ("Ann Lee:Hello"); such a label counts only if it
    is repeated.
    """
    if ":" not in text[:80]:
        return None
    found = _LABEL.match(text, 0, 160)
    if found is None and tight:
        found, fresh = _TIGHT.match(text, 0, 160), False
    if found is None:
        return None
    taken = found["all"]
    candidate = clean_name(found["name"].replace("&amp;", "&"))
    if not _looks_like_a_name(candidate):
        return None
    return Label(candidate, len(taken.split()), found.end("all"), found["turn"] is not None, fresh)


def names(labels: Iterable[Label]) -> frozenset[str]:
    """The labels of one file that are its speakers' names."""
    counted: Counter[str] = Counter()
    sure = set()
    for found in labels:
        counted[found.name] += 1
        if found.fresh or found.turn:
            sure.add(found.name)
    return frozenset(name for name, count in counted.items() if count > 1 or name in sure)


def ends_a_sentence(text: str) -> bool:
    """Whether nothing of the sentence is missing: it ends with a full stop or the like, or there is no text."""
    return not text or bool(_ENDS.search(text))


def _looks_like_a_name(text: str) -> bool:
    if _NUMBERED.fullmatch(text):
        return True
    words = text.split()
    if not 1 <= len(words) <= 5 or text.casefold() in _NEVER_A_NAME:
        return False
    if words[0].casefold() in _NEVER_FIRST and len(words[0]) > 1:
        return False
    if words[0].casefold() in _NEVER_A_NAME and words[-1].isdigit():  # "Chapter 3:"
        return False
    return words[0][0].isalpha() and all(_part_of_a_name(word, at) for at, word in enumerate(words))


def _part_of_a_name(word: str, at: int) -> bool:
    if _WORD.fullmatch(word) is None:
        return False
    if at and (word in _PARTICLES or word.lstrip("#")[0].isdigit()):
        return True
    return not word[0].islower()
