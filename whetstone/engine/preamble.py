"""Free text before a structured output begins, such as a thinking section that ends with `</think>`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_BLANKS = 2  # tokens of line ends between the mark and the output: models write "</think>\n\n"
_BLANK = b" \t\r\n"


class PreambleMasks:
    """Which tokens are allowed before the mark, shared by all completions with that mark.

    Everything is but the stop tokens, and tokens that end the mark and go on with something else than blanks: what
    follows the mark must come under the grammar.

    Args:
        tokens: the bytes of each token [V].
        mark: the end of the free text, not empty.
        stop_ids: never allowed here, as the structured output would be missing.
    """

    def __init__(self, tokens: Sequence[bytes], mark: bytes, stop_ids: frozenset[int]) -> None:
        self.tokens = tokens
        self.mark = mark
        self._stop_ids = stop_ids
        self._masks: dict[bytes, NDArray[np.bool_]] = {}
        # only these can complete the mark; the others need no look in each state
        self._ending = [place for place, token in enumerate(tokens) if mark[-1:] in token]
        self.blank_V = np.array([bool(token) and not token.strip(b"\r\n") for token in tokens])
        self.blank_V[list(stop_ids)] = False

    def mask(self, held: bytes) -> NDArray[np.bool_]:
        """bool [V] after text that ends with `held`, the longest end that may become the mark. Not to be changed."""
        if (known := self._masks.get(held)) is None:
            known = np.ones(len(self.tokens), np.bool_)
            known[list(self._stop_ids)] = False
            for place in self._ending:
                known[place] &= self._rest(held, self.tokens[place]) in (None, b"")
            self._masks[held] = known
        return known

    def _rest(self, held: bytes, token: bytes) -> bytes | None:
        """What a token says behind the mark, blanks aside; None when it does not complete it."""
        _, mark, rest = (held + token).partition(self.mark)
        return rest.strip(_BLANK) if mark else None

    def step(self, held: bytes, token: int) -> bytes | None:
        """The end that may become the mark after one more token; None when the mark is complete."""
        text = held + self.tokens[token]
        if self.mark in text:
            return None
        for length in range(min(len(self.mark) - 1, len(text)), 0, -1):
            if text.endswith(self.mark[:length]):
                return text[-length:]
        return b""


class Preamble:
    """Where one completion stands: before the mark, or in the few line ends behind it."""

    def __init__(self, masks: PreambleMasks, held: bytes | None = b"", blanks: int = MOST_BLANKS) -> None:
        self._masks = masks
        self._held = held
        self._blanks = blanks

    @property
    def over(self) -> bool:
        """Whether the mark has come."""
        return self._held is None

    @property
    def gap_open(self) -> bool:
        """Whether line ends may still come before the output."""
        return self.over and self._blanks > 0

    @property
    def blank_V(self) -> NDArray[np.bool_]:
        """bool [V]: the tokens that are only line ends."""
        return self._masks.blank_V

    def mask(self) -> NDArray[np.bool_]:
        """bool [V] before the mark."""
        assert self._held is not None
        return self._masks.mask(self._held)

    def accept(self, token: int) -> None:
        """A token before the mark; one beyond the vocabulary says nothing."""
        assert self._held is not None
        if token < len(self._masks.tokens):
            self._held = self._masks.step(self._held, token)

    def is_blank(self, token: int) -> bool:
        """Whether a token is only line ends."""
        return token < len(self.blank_V) and bool(self.blank_V[token])

    def accept_blank(self) -> None:
        """Line ends between the mark and the output."""
        self._blanks -= 1

    def close_gap(self) -> None:
        """The output has begun."""
        self._blanks = 0

    def fork(self) -> Preamble:
        """A copy in the same state."""
        return Preamble(self._masks, self._held, self._blanks)
