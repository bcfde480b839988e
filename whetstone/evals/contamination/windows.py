"""Hashes of all runs of n words and of n characters of many texts at once, without a loop in Python over any of them.

A polynomial hash modulo 2^64 with prefix sums: the hash of any stretch is one difference and one product. A word is a
run of letters, digits and underscores, or a single symbol ("+", "="); other punctuation and white space part words.
Texts are folded first: compatibility forms (NFKC), case, and runs of white space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby

import numpy as np

BASE = 0x9E3779B97F4A7C15 | 1
INVERSE = pow(BASE, -1, 1 << 64)
BATCH_CHARS = 1 << 18  # what a batch makes stays in the cache
_SPACE, _WORD, _SYMBOL = 0, 1, 2


def fold(text: str) -> str:
    """The form in which texts are compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def words(folded: str) -> list[str]:
    """The words of a folded text, one by one: what `Batch` finds for many texts at once."""
    found = []
    for (kind, _), run in groupby(enumerate(folded), key=lambda each: _run(each[0], each[1])):
        if kind != _SPACE:
            found.append("".join(character for _, character in run))
    return found


def _run(place: int, character: str) -> tuple[int, int]:
    kind = _kind(character)
    return kind, place if kind == _SYMBOL else -1


def _kind(character: str) -> int:
    if character.isalnum() or character == "_":
        return _WORD
    return _SYMBOL if character in "-*/%&" or unicodedata.category(character)[0] == "S" else _SPACE


@lru_cache(maxsize=2)
def _kinds(size: int) -> np.ndarray:
    return np.array([_kind(chr(code)) for code in range(size)], dtype=np.uint8)


def mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of the result depends on every bit of the value (splitmix64, Steele et al. 2014); uint64."""
    z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


_ASCII = mixed(np.arange(128))


class _Powers:
    """BASE^i and BASE^-i, i = 0, 1, …, as far as anybody has needed."""

    def __init__(self) -> None:
        self.up = self.down = np.ones(1, dtype=np.uint64)

    def reach(self, length: int) -> None:
        if length > len(self.up):
            size = max(length, BATCH_CHARS + 1)
            self.up, self.down = (_powers(base, size) for base in (BASE, INVERSE))


def _powers(base: int, size: int) -> np.ndarray:
    factors = np.full(size, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


_POWERS = _Powers()


class _Prefix:
    """Hashes of stretches of a row of values."""

    def __init__(self, values: np.ndarray) -> None:
        _POWERS.reach(len(values) + 1)
        self.sums = np.zeros(len(values) + 1, dtype=np.uint64)
        np.cumsum(values * _POWERS.down[: len(values)], out=self.sums[1:])

    def stretches(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Hash of values[start:end]; equal stretches have equal hashes wherever they stand."""
        return (self.sums[ends] - self.sums[starts]) * _POWERS.up[starts]

    def windows(self, length: int) -> np.ndarray:
        """Hashes of all windows of `length`; none where there are fewer values."""
        count = max(0, len(self.sums) - length)
        return (self.sums[length : length + count] - self.sums[:count]) * _POWERS.up[:count]


@dataclass(frozen=True)
class Found:
    """Windows of one length: `hashes`, which text of the batch each stands in, and its place there in words or
    characters."""

    hashes: np.ndarray
    texts: np.ndarray
    places: np.ndarray


class Batch:
    """Some folded texts, hashed together."""

    def __init__(self, texts: Sequence[str]) -> None:
        joined = " ".join(texts)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        self.ends = np.cumsum(lengths + 1) - 1  # of each text in `joined`; the space after it belongs to none
        self.starts = self.ends - lengths
        if joined.isascii():
            codes = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
            values, self._kinds = _ASCII[codes], _kinds(128)[codes]
        else:
            codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            values, self._kinds = mixed(codes), _kinds(0x110000)[codes]
        self._characters = _Prefix(values)

    def characters(self, length: int) -> Found:
        """All windows of `length` characters."""
        hashes = self._characters.windows(length)
        text_C = np.repeat(np.arange(len(self.ends)), self.ends - self.starts + 1)[: len(hashes)]
        place_C = np.arange(len(hashes))
        whole_C = place_C + length <= self.ends[text_C]
        text_W = text_C[whole_C]
        return Found(_salted(hashes[whole_C], -length), text_W, place_C[whole_C] - self.starts[text_W])

    def words(self, length: int) -> Found:
        """All windows of `length` words."""
        _, prefix, text_W, first_T = self._words
        hashes = prefix.windows(length)
        text_N = text_W[: len(hashes)]
        whole_N = text_N == text_W[length - 1 : length - 1 + len(hashes)]
        place_N = np.arange(len(hashes))[whole_N]
        return Found(_salted(hashes[whole_N], length), text_N[whole_N], place_N - first_T[text_N[whole_N]])

    @property
    def word_counts(self) -> np.ndarray:
        """Words of each text."""
        return np.bincount(self._words[2], minlength=len(self.ends))

    @cached_property
    def _words(self) -> tuple[np.ndarray, _Prefix, np.ndarray, np.ndarray]:
        """Hashes of the words, their prefix sums, the text of each, and the number of each text's first word."""
        word = self._kinds == _WORD
        symbol = self._kinds == _SYMBOL
        begins, stops = word.copy(), word.copy()
        begins[1:] &= ~word[:-1]
        stops[:-1] &= ~word[1:]
        starts = np.flatnonzero(begins | symbol)
        ends = np.flatnonzero(stops | symbol) + 1
        hashes = mixed(self._characters.stretches(starts, ends))
        texts = np.searchsorted(self.ends, starts, side="right")
        return hashes, _Prefix(hashes), texts, np.searchsorted(texts, np.arange(len(self.ends)))


def _salted(hashes: np.ndarray, length: int) -> np.ndarray:
    """Windows of unlike lengths share no hash, nor do those of words and of characters (negative lengths)."""
    return mixed(hashes ^ mixed(np.array([length % (1 << 32)]))[0])


def batches(texts: Iterable[str], chars: int = BATCH_CHARS) -> Iterator[list[str]]:
    """Consecutive texts of about `chars` characters together; a longer text comes alone."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and size + len(text) > chars:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield batch


class HashSet:
    """Which of many hashes are in a set: a bitmap answers for most, a sorted array for the rest. Exact."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        hashes = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
        hashes.sort()
        self.sorted = hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])] if len(hashes) else hashes
        bits = min(31, max(16, len(self.sorted).bit_length() + 5))
        self._shift = np.uint64(64 - bits)
        self._map = np.zeros(1 << (bits - 3), dtype=np.uint8)
        place = self.sorted >> self._shift
        # the hashes are sorted, so equal bytes stand together and can be combined before they are written
        byte, bit = place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
        if len(byte):
            firsts = np.flatnonzero(np.concatenate([[True], byte[1:] != byte[:-1]]))
            self._map[byte[firsts]] = np.bitwise_or.reduceat(bit, firsts)

    def __len__(self) -> int:
        return len(self.sorted)

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """The places in `hashes` of those that are in the set."""
        place = hashes >> self._shift
        likely = np.flatnonzero(self._map[place >> np.uint64(3)] >> (place & np.uint64(7)).astype(np.uint8) & 1)
        found = np.searchsorted(self.sorted, hashes[likely])
        found[found == len(self.sorted)] = 0
        return likely[self.sorted[found] == hashes[likely]] if len(self.sorted) else likely[:0]
