"""What a person types, as an expression of FTS5 that is never a syntax error, and what of a text it matched.

Words are all wanted; "several words" in quotation marks stand together; word* is the beginning of a word; -word is not
wanted. Nothing else has a meaning: whatever FTS5 would obey stands in quotation marks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whetstone.episodes.embedding import TOKEN, folded
from whetstone.episodes.formats.reading import cleaned
from whetstone.episodes.stopwords import STOPWORDS

MOST_TERMS = 32
LONGEST = 1000  # characters; the rest is not looked at
_PART = re.compile(
    r'(?P<minus>-)?(?:["\u201c\u201d](?P<phrase>[^"\u201c\u201d]*)["\u201c\u201d]?|(?P<word>[^\s"\u201c\u201d]+))'
)


@dataclass(frozen=True)
class Term:
    """Words that stand together; `prefix`: the last is the beginning of a word; `quoted`: they were in marks.

    `text` is what was typed, for FTS5 to cut into words as it does with what it indexes; `words` the same, folded.
    """

    text: str
    words: tuple[str, ...]
    prefix: bool = False
    quoted: bool = False

    @property
    def expression(self) -> str:
        """In FTS5's own quotation marks."""
        return f'"{self.text}"' + ("*" if self.prefix else "")


@dataclass(frozen=True)
class Query:
    """What is wanted and what is not; `text`: all that is wanted. Function words outside of quotation marks are left out, if others are left."""

    text: str
    terms: tuple[Term, ...]
    unwanted: tuple[Term, ...] = ()

    def every(self) -> str:
        """The expression for texts with all the terms; "" where nothing is asked."""
        return self._joined(" ")

    def any(self) -> str:
        """The expression for texts with at least one."""
        return self._joined(" OR ")

    def _joined(self, by: str) -> str:
        wanted = by.join(term.expression for term in self.terms)
        if not wanted or not self.unwanted:
            return wanted
        return f"({wanted}) NOT ({' OR '.join(term.expression for term in self.unwanted)})"

    def marks(self, text: str) -> tuple[tuple[int, int], ...]:
        """Where the terms stand in a text: first character and the one after the last."""
        return _places(self.terms, text)

    def excludes(self, text: str) -> bool:
        """Whether a text has words that are not wanted."""
        return bool(self.unwanted) and bool(_places(self.unwanted, text))


def _places(terms: tuple[Term, ...], text: str) -> tuple[tuple[int, int], ...]:
    words = [(found.start(), found.end(), folded(found[0])) for found in TOKEN.finditer(text)]
    found: set[tuple[int, int]] = set()
    for term in terms:
        size = len(term.words)
        for at in range(len(words) - size + 1):
            here = [word for _, _, word in words[at : at + size]]
            whole = list(term.words[:-1]) == here[:-1]
            last = here[-1].startswith(term.words[-1]) if term.prefix else here[-1] == term.words[-1]
            if whole and last:
                found.update((begin, end) for begin, end, _ in words[at : at + size])
    return tuple(sorted(found))


def parsed(text: str) -> Query:
    """The query that a person means. Whatever they type, it is one."""
    wanted: list[Term] = []
    unwanted: list[Term] = []
    for part in _PART.finditer(cleaned(text[:LONGEST])):
        said = part["word"] if part["phrase"] is None else part["phrase"]
        words = tuple(TOKEN.findall(folded(said)))
        if not words:
            continue
        quoted = part["phrase"] is not None
        prefix = not quoted and said.endswith("*")
        (unwanted if part["minus"] else wanted).append(Term(said.rstrip("*"), words, prefix, quoted))
    telling = [term for term in wanted if term.quoted or term.prefix or not STOPWORDS.issuperset(term.words)]
    asked = " ".join(term.text for term in wanted)
    return Query(asked, tuple((telling or wanted)[:MOST_TERMS]), tuple(unwanted[:MOST_TERMS]))
