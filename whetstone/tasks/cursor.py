"""A place in a list of tokens: what every recursive descent begins with."""

from __future__ import annotations


class Cursor:
    """Reads tokens from left to right; behind the last one everything is the empty text."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def at_end(self) -> bool:
        """Whether every token, and none more, was read."""
        return self.at == len(self.tokens)

    def peek(self) -> str:
        """The next token, left where it is."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        """The next token, read."""
        token = self.peek()
        self.at += 1
        return token
