"""Which words of a transcript are names: by their capitals, and by how the same word is written elsewhere in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from whetstone.episodes.lexicon import FILLER, STOP
from whetstone.episodes.normal import tokens, without_closing
from whetstone.episodes.transcript import Transcript

_ENDS = (".", "?", "!", ":", "…")
_TITLES = frozenset({"dr.", "mr.", "mrs.", "ms.", "prof.", "st.", "sen.", "rep.", "gen."})
# a transcript in which fewer words than this are capitalised writes no capitals (the pronoun "I" alone makes more)
_FEWEST_CAPITALS = 0.01


class Names:
    """The names in a transcript. `cased` is false where it has no capitals: then nobody can tell."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        words = [word.text for word in transcript.words]
        self.cased = sum(capital(word) for word in words) >= _FEWEST_CAPITALS * len(words)
        self._upper: Counter[str] = Counter()
        self._lower: Counter[str] = Counter()
        opens = {segment.first for segment in transcript.segments}
        self._opens = [index in opens or starts(words, index) for index in range(len(words))]
        for word, opening in zip(words, self._opens, strict=True):
            for token in tokens(word)[:1]:
                if not capital(word):
                    self._lower[bare(token)] += 1
                elif not opening:
                    self._upper[bare(token)] += 1

    def known(self, token: str) -> bool:
        """Whether this transcript writes the token (in normal form) with a capital where no sentence begins."""
        token = bare(token)
        return self._upper[token] > self._lower[token] and not common(token)

    def at(self, word: int) -> bool:
        """Whether the word at this place is a name. At the opening of a sentence: if it is one elsewhere, or is never
        written small and a capital follows it."""
        text = self._transcript.words[word].text
        found = tokens(text)[:1]
        if not capital(text) or not found or common(found[0]):
            return False
        if not self._opens[word] or self.known(found[0]):
            return True
        follows = word + 1 < len(self._opens) and not self._opens[word + 1]
        return follows and not self._lower[bare(found[0])] and capital(self._transcript.words[word + 1].text)


def capital(word: str) -> bool:
    """Whether its first letter is a capital."""
    first = next((c for c in word if c.isalnum()), "")
    return first.isupper()


def starts(words: Sequence[str], index: int) -> bool:
    """Whether a sentence begins with this word, by the punctuation before it or the quote mark that opens it."""
    if index == 0 or words[index][:1] in '"“«„':
        return True
    before = without_closing(words[index - 1])
    return before.endswith(_ENDS) and before.lower() not in _TITLES


def common(token: str) -> bool:
    """Whether it is a word of grammar or filler: "I", "Well"."""
    return token in STOP or token in FILLER or token.split("'")[0] in {"i", "o"}


def bare(token: str) -> str:
    """Without the possessive."""
    return token.removesuffix("'s")
