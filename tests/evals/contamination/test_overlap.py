"""Overlap against brute force on every pair of an item and a document."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from whetstone.evals.contamination import overlap
from whetstone.evals.contamination.corpus import Document
from whetstone.evals.contamination.overlap import SHARED_BY, Index, scan
from whetstone.evals.contamination.windows import fold, words

FEW_WORDS = st.lists(st.sampled_from(["a", "b", "cc", "7", "+"]), max_size=14).map(" ".join)


def _brute(items: list[str], documents: list[str], kind: str, n: int) -> dict[int, float]:
    """Item -> share of its units in the windows that the best single document holds too."""

    def units(text: str) -> list[str]:
        return words(fold(text)) if kind == "words" else list(fold(text))

    def windows(each: list[str], length: int) -> list[tuple[str, ...]]:
        return [tuple(each[i : i + length]) for i in range(len(each) - length + 1)]

    holders: Counter[tuple[str, ...]] = Counter()
    sizes = {}
    for place, item in enumerate(items):
        size = len(units(item))
        least = min(overlap.LEAST_WORDS, n)
        sizes[place] = (min(size, n) if size >= least else 0) if kind == "words" else n
        if sizes[place]:
            holders.update(set(windows(units(item), sizes[place])))
    best: dict[int, float] = {}
    for place, item in enumerate(items):
        if not sizes[place]:
            continue
        for document in documents:
            there = set(windows(units(document), sizes[place]))
            covered = set()
            for start, window in enumerate(windows(units(item), sizes[place])):
                if window in there and holders[window] <= SHARED_BY:
                    covered |= set(range(start, start + sizes[place]))
            if covered:
                best[place] = max(best.get(place, 0.0), len(covered) / len(units(item)))
    return best


@settings(max_examples=200, deadline=None)
@given(st.lists(FEW_WORDS, min_size=1, max_size=14), st.lists(FEW_WORDS, min_size=1, max_size=6), st.integers(2, 6))
def test_matches_are_those_of_brute_force(items: list[str], documents: list[str], n: int) -> None:
    found = scan(Index(items, n, 2 * n), [Document("f", i + 1, text) for i, text in enumerate(documents)])
    matches = found.matches()
    for kind, size in (("words", n), ("characters", 2 * n)):
        ours = {match.item: match.coverage for match in matches if match.kind == kind}
        expected = _brute(items, documents, kind, size)
        assert ours.keys() == expected.keys()
        assert all(abs(ours[item] - expected[item]) < 1e-12 for item in expected)
    for match in matches:
        item, document = fold(items[match.item]), fold(documents[match.document.line - 1])
        if match.kind == "words":
            item, document = " ".join(words(item)), " ".join(words(document))
        assert match.text in item and match.text in document


def test_the_text_is_the_longest_run_of_both() -> None:
    item = (
        "The quick brown fox jumps over the lazy dog and then, at once, goes home to sleep until late in the morning."
    )
    document = "Noise before. " + item[4:] + " Noise behind."
    index = Index([item, "another item that is nowhere to be found in any document whatever one may look for in it"])
    found = scan(index, [Document("a.txt", 3, "nothing here"), Document("a.txt", 9, document)])
    by_kind = {match.kind: match for match in found.matches()}
    assert {match.item for match in by_kind.values()} == {0}
    assert by_kind["words"].text == " ".join(words(fold(item))[1:])
    assert by_kind["characters"].text == fold(item)[3:]  # the space before it stands in both
    assert by_kind["words"].document.place == "a.txt:9"


def test_a_run_that_the_document_has_only_in_pieces_is_not_called_one() -> None:
    first, second = [f"w{i}" for i in range(13)], [f"w{i}" for i in range(1, 14)]
    item = " ".join([*first, "w13"])
    document = " ".join([*second, "between", *first])  # both windows of 13, but never the 14 words in one piece
    (match,) = [m for m in scan(Index([item]), [Document("f", 1, document)]).matches() if m.kind == "words"]
    assert match.coverage == 1.0
    assert match.text in (" ".join(first), " ".join(second))


def test_wording_that_many_items_share_is_no_overlap() -> None:
    opening = "please read the following statement with care and then answer in one single word only"
    items = [f"{opening} number{i} of{i} this{i}" for i in range(SHARED_BY + 1)]
    found = scan(Index(items), [Document("f", 1, opening + " something else")])
    assert found.matches() == []
    assert found.shared["words"] > 0
    few = scan(Index(items[:SHARED_BY]), [Document("f", 1, opening + " something else")])
    assert {match.item for match in few.matches()} == set(range(SHARED_BY))


def test_short_items_are_looked_for_whole_and_shorter_ones_not_at_all() -> None:
    index = Index(["What is 60 + 34?", "Why not?"])
    assert index.too_short == 1
    found = scan(index, [Document("f", 1, "So what is 60 + 34 then"), Document("f", 2, "what is 60 + 35, why not")])
    assert [(match.item, match.document.line, match.coverage) for match in found.matches()] == [(0, 1, 1.0)]


def test_a_document_that_is_not_kept_is_still_reported(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(overlap, "KEPT_CHARS", 0)
    item = " ".join(f"w{i}" for i in range(20))
    (match,) = [m for m in scan(Index([item]), [Document("f", 1, item)]).matches() if m.kind == "words"]
    assert match.coverage == 1.0 and match.text == item
