"""Text that arrives in pieces, read as if it were whole.

A parser of this folder is a generator: where it needs a character that has not come yet, it yields. So its code reads
like that of a parser of a whole text, and where the text was split cannot matter.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeVar

from whetstone.engine.text.marks import MarkFinder

T = TypeVar("T")
Steps = Generator[None, None, T]  # yields when it needs more text

LONGEST_CALL = 1 << 20  # characters of one tool call
SPACE = " \t\r\n"
_SPACES = re.compile(r"[ \t\r\n]*")


class CallError(Exception):
    """What is read is not a well-formed tool call; the message says why."""


class Source:
    """The text so far. `push` gives it more, which needs everything before to have been read."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self._end = 0  # reading stops here: the end of the text or of what a call may hold
        self._before = 0  # characters of the pieces before this one
        self._limit: int | None = None
        self._record: list[str] | None = None
        self._record_from = 0

    def push(self, text: str) -> None:
        """The next piece."""
        if self._record is not None:
            self._record.append(self.text[self._record_from : self.at])
        self._before += len(self.text)
        self.text, self.at, self._record_from = text, 0, 0
        self._bound()

    def record(self, prefix: str = "") -> None:
        """From here on keep what is read, for a call that turns out not to be one; it may be LONGEST_CALL long."""
        self._record, self._record_from = [prefix], self.at
        self._limit = self._before + self.at + LONGEST_CALL
        self._bound()

    def recorded(self) -> str:
        """`prefix` and all that was read since `record`."""
        return "".join([*(self._record or ()), self.text[self._record_from : self.at]])

    def release(self) -> None:
        """Stop keeping what is read."""
        self._record = self._limit = None
        self._bound()

    def _bound(self) -> None:
        self._end = len(self.text) if self._limit is None else min(len(self.text), self._limit - self._before)

    def more(self) -> Steps[bool]:
        """Wait for a character; False when the text has ended.

        Raises:
            CallError: a call is longer than LONGEST_CALL.
        """
        while self.at >= self._end:
            if self._limit is not None and self._before + self.at >= self._limit:
                raise CallError(f"it is longer than {LONGEST_CALL} characters")
            if self.ended:
                return False
            yield
        return True

    def peek(self) -> Steps[str]:
        """The next character, left where it is; "" when the text has ended."""
        if self.at >= self._end and not (yield from self.more()):
            return ""
        return self.text[self.at]

    def need(self) -> Steps[str]:
        """The next character, left where it is.

        Raises:
            CallError: the text has ended.
        """
        if self.at >= self._end and not (yield from self.more()):
            raise CallError("the text ends before the call is complete")
        return self.text[self.at]

    def take(self) -> Steps[str]:
        """The next character, read.

        Raises:
            CallError: the text has ended.
        """
        char = yield from self.need()
        self.at += 1
        return char

    def run(self, pattern: re.Pattern[str]) -> str:
        """What matches `pattern` (which may match nothing) in the part at hand; more may follow in the next piece."""
        match = pattern.match(self.text, self.at, self._end)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def all_of(self, pattern: re.Pattern[str], longest: int | None) -> Steps[str]:
        """The longest stretch of the characters that `pattern` (a repeated class) takes.

        Raises:
            CallError: it is longer than `longest`.
        """
        parts: list[str] = []
        length = 0
        while (yield from self.more()):
            part = self.run(pattern)
            parts.append(part)
            length += len(part)
            if longest is not None and length > longest:
                raise CallError(f"a word of more than {longest} characters")
            if self.at < self._end:
                break
        return "".join(parts)

    def spaces(self) -> Steps[str]:
        """Blanks, tabs and line ends, perhaps none."""
        return (yield from self.all_of(_SPACES, None))

    def expect(self, literal: str) -> Steps[None]:
        """Read exactly that.

        Raises:
            CallError: something else stands here.
        """
        for wanted in literal:
            char = yield from self.need()
            if char != wanted:
                raise CallError(f"{literal!r} is missing")
            self.at += 1

    def until(self, finder: MarkFinder) -> Steps[tuple[str, str]]:
        """Plain text that is certain by now, and the mark behind it: "" means that more text is to come.

        Raises:
            CallError: the text has ended inside a call (outside, ("", "") ends it: see `ended`).
        """
        if not (yield from self.more()):
            return finder.finish(), ""
        plain, mark, self.at = finder.feed(self.text, self.at, self._end)
        return plain, mark
