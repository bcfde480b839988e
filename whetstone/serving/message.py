"""An assistant's message in the making: text in pieces to the deltas of a chat."""

from __future__ import annotations

from typing import Any


class Assistant:
    """Takes the text of one answer as it comes."""

    def __init__(self) -> None:
        self.calls = 0
        self.reasoning_tokens = 0

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The deltas that this text makes certain."""
        return [{"content": text}] if text else []

    def finish(self) -> list[dict[str, Any]]:
        """No more text comes: the rest."""
        return []
