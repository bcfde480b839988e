"""Finding marks (fixed strings) in text that arrives in pieces.

The Aho-Corasick automaton (Aho and Corasick 1975): its state is the longest end of the text so far that may still
become a mark, so exactly that end is held back, and the work is linear in the text whatever the marks are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from whetstone.errors import UsageError

LONGEST_MARKS = 65_536  # characters of all marks together: each is a state of the automaton


class MarkFinder:
    """Looks for the mark that ends first; of several that end together, the one that begins first.

    What counts is where a mark ends because a stream is cut there: "b" stops the text "abcd" although "abcd" is
    a mark too. So the answer does not depend on how the text was split.

    Args:
        marks: the strings to look for, none of them empty.

    Raises:
        UsageError: an empty mark, or more than LONGEST_MARKS characters of marks.
    """

    def __init__(self, marks: Iterable[str]) -> None:
        self.marks = tuple(dict.fromkeys(marks))
        if not all(self.marks):
            raise UsageError("a stop string may not be empty: leave it out")
        if sum(map(len, self.marks)) > LONGEST_MARKS:
            raise UsageError(f"the stop strings are longer than {LONGEST_MARKS} characters together: shorten them")
        self._build()
        self._starts = re.compile("|".join(sorted({re.escape(mark[0]) for mark in self.marks}))) if self.marks else None
        self._state = 0

    def _build(self) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._path = [""]  # the text that leads to a state
        self._found: list[str] = [""]  # the longest mark that ends in a state
        for mark in self.marks:
            state = 0
            for place, char in enumerate(mark):
                if char not in self._next[state]:
                    self._next[state][char] = len(self._next)
                    self._next.append({})
                    self._path.append(mark[: place + 1])
                    self._found.append("")
                state = self._next[state][char]
            self._found[state] = mark
        self._fail = [0] * len(self._next)
        queue = deque(self._next[0].values())
        while queue:
            state = queue.popleft()
            for char, child in self._next[state].items():
                self._fail[child] = self._step(self._fail[state], char)
                self._found[child] = self._found[child] or self._found[self._fail[child]]
                queue.append(child)

    def _step(self, state: int, char: str) -> int:
        while char not in self._next[state]:
            if state == 0:
                return 0
            state = self._fail[state]
        return self._next[state][char]

    def feed(self, text: str, at: int = 0, end: int | None = None) -> tuple[str, str, int]:
        """Read `text` from `at` to the end of the first mark, or to `end` (None: that of the text).

        Returns:
            What is now known to be plain text, the mark ("" when none was found), and where reading stopped: behind
            the mark, after which the finder starts afresh, or at `end`.
        """
        start, state = at, self._state
        end = len(text) if end is None else end
        held = self._path[state]
        while at < end:
            if state == 0:
                candidate = self._starts.search(text, at, end) if self._starts else None
                if candidate is None:
                    at = end
                    break
                at = candidate.start()
            state = self._step(state, text[at])
            at += 1
            if self._found[state]:
                self._state = 0
                mark = self._found[state]
                plain = held + text[start:at]
                return plain[: len(plain) - len(mark)], mark, at
        self._state = state
        plain = held + text[start:at]
        return plain[: len(plain) - len(self._path[state])], "", at

    def finish(self) -> str:
        """No more text comes: what was held back."""
        held, self._state = self._path[self._state], 0
        return held
