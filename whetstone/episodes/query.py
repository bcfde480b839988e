"""What a person types, as an expression of FTS5 that is never a syntax error.

Words are all wanted, in any of their endings; "several words" in quotation marks stand together, exactly so; word* is
the beginning of a word; -word is not wanted. Nothing else has a meaning: whatever FTS5 would obey stands in quotation
marks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from whetstone.episodes.embedding import TOKEN, folded
from whetstone.episodes.formats.reading import cleaned
from whetstone.episodes.stopwords import STOPWORDS

MOST_TERMS = 32
LONGEST = 1000  # characters; the rest is not looked at
_MARKS = '"\u201c\u201d'
_PART = re.compile(rf"(?P<minus>-)?(?:[{_MARKS}](?P<phrase>[^{_MARKS}]*)[{_MARKS}]?|(?P<word>[^\s{_MARKS}]+))")


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
    """What is wanted and what is not; `text`: all that is wanted. Function words outside of quotation marks are left
    out, if others are left."""

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

    def unwanted_expression(self) -> str:
        """The expression for texts with something that is not wanted; "" where nothing is unwanted."""
        return " OR ".join(term.expression for term in self.unwanted)

    def exact(self, text: str) -> bool:
        """Whether a text has everything that stood in quotation marks, letter for letter but for case and accents: the
        index itself also finds other endings of a word."""
        quoted = [term.words for term in self.terms if term.quoted]
        if not quoted:
            return True
        words = TOKEN.findall(folded(text))
        return all(
            any(tuple(words[at : at + len(term)]) == term for at in range(len(words) - len(term) + 1))
            for term in quoted
        )


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
