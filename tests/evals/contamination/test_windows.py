"""Hashes of windows against plain slices."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.evals.contamination.windows import Batch, HashSet, batches, fold, words

TEXTS = st.lists(st.text(alphabet="ab1 _+-.,é\u0301漢 \n²A", max_size=40), min_size=1, max_size=8)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 6))
def test_equal_hashes_are_equal_windows_of_characters(texts: list[str], length: int) -> None:
    folded = [fold(text) for text in texts]
    found = Batch(folded).characters(length)
    slices = [(i, p, t[p : p + length]) for i, t in enumerate(folded) for p in range(len(t) - length + 1)]
    assert list(zip(found.texts.tolist(), found.places.tolist(), strict=True)) == [(i, p) for i, p, _ in slices]
    _same_classes(found.hashes, [text for _, _, text in slices])


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_equal_hashes_are_equal_windows_of_words(texts: list[str], length: int) -> None:
    folded = [fold(text) for text in texts]
    split = [words(text) for text in folded]
    batch = Batch(folded)
    found = batch.words(length)
    slices = [(i, p, tuple(w[p : p + length])) for i, w in enumerate(split) for p in range(len(w) - length + 1)]
    assert batch.word_counts.tolist() == list(map(len, split))
    assert list(zip(found.texts.tolist(), found.places.tolist(), strict=True)) == [(i, p) for i, p, _ in slices]
    _same_classes(found.hashes, [text for _, _, text in slices])


def test_hashes_do_not_depend_on_the_batch() -> None:
    texts = [fold(text) for text in ("one two three four", "naïve two three four", "zero one two three")]
    together = Batch(texts)
    for place, text in enumerate(texts):
        alone = Batch([text])
        for found, own in ((together.words(3), alone.words(3)), (together.characters(9), alone.characters(9))):
            assert found.hashes[found.texts == place].tolist() == own.hashes.tolist()


def test_words_are_runs_of_letters_and_single_symbols() -> None:
    assert words(fold("What is 8*17 + x_1?  (Ünïcode)")) == ["what", "is", "8", "*", "17", "+", "x_1", "ünïcode"]
    assert words(fold("a--b")) == ["a", "-", "-", "b"]
    plain = fold("No symbols here, only 3 sentences. And words!")
    assert words(plain) == re.findall(r"\w+", plain)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_set_knows_its_members(members: list[int], others: list[int]) -> None:
    kept = HashSet([np.array(members, dtype=np.uint64)])
    asked = np.array(members + others, dtype=np.uint64)
    assert kept.contains(asked).tolist() == [i for i, h in enumerate(members + others) if h in set(members)]
    assert len(kept) == len(set(members))


def test_batches_keep_the_order_and_the_size() -> None:
    cut = list(batches(["aa", "bbbb", "c", "dddddddddd", "e"], chars=6))
    assert cut == [["aa"], ["bbbb", "c"], ["dddddddddd"], ["e"]]


def _same_classes(hashes: np.ndarray, windows: list[object]) -> None:
    """Two hashes are equal exactly when the windows are."""
    assert len(hashes) == len(windows)
    by_hash = dict(zip(hashes.tolist(), windows, strict=True))
    assert all(by_hash[h] == w for h, w in zip(hashes.tolist(), windows, strict=True))
    assert len(by_hash) == len(set(windows))
