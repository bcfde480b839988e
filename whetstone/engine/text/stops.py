"""Stop strings over a stream of text: the text ends just before the first of them."""

from __future__ import annotations

from collections.abc import Iterable

from whetstone.engine.text.marks import MarkFinder


class StopStrings:
    """Passes text on up to the first stop string; holds back only what may still become one.

    Of two stop strings the one that ends first counts, as it stops the generation; of two that end together, the
    longer. Cost: constant per character.

    Args:
        stops: the strings; none at all passes everything on.

    Raises:
        UsageError: an empty stop string.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._finder = MarkFinder(stops)
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """What of the text so far may now be shown. After a match (`matched` is set) nothing is."""
        if self.matched is not None:
            return ""
        plain, mark, _ = self._finder.feed(text)
        self.matched = mark or None
        return plain

    def finish(self) -> str:
        """No more text comes: what was held back and did not become a stop string."""
        return "" if self.matched is not None else self._finder.finish()
