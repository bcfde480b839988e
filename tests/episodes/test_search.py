"""Search: against brute force, with filters, and with whatever people type."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.episodes.conversations import said
from whetstone.episodes import query
from whetstone.episodes.asking import ask
from whetstone.episodes.content import About, Quote
from whetstone.episodes.embedding import HashedEmbedder
from whetstone.episodes.search import Filters, Hit, Search, fused
from whetstone.episodes.store import Store, evidence, vectors
from whetstone.episodes.transcript import Timing, Transcript
from whetstone.errors import UsageError

ENGINES = said(
    ("Ann", "Welcome. Today we talk about steam engines."),
    ("Bob", "Thanks. When was the first engine built? Nobody knows."),
    ("Ann", "What made the locomotives faster?"),
    ("Bob", "The boilers were made of better steel. Pressure rose to two hundred pounds. That changed everything."),
)
GARDENS = said(
    ("Cy", "I love my garden. Roses need water and sun. They do not need steel. Café chairs stand there."),
    ("Ann", "How often do you water the roses?"),
    ("Cy", "Twice a week in summer, and never at noon."),
)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    store = Store(tmp_path_factory.mktemp("library") / "a.db")
    for show, title, day, talk in [
        ("Talks", "Engines", "2024-01-02", ENGINES),
        ("Green", "Gardens", "2025-03-04", GARDENS),
    ]:
        episode = store.add_episode(store.add_show(show), About(title, guid=title, published=day))
        store.set_transcript(episode, talk)
    found = Search(store)
    assert found.index() == 2 and found.index() == 0
    return found


def shown(hits: list[Hit]) -> list[str]:
    """The snippets, what was matched in brackets."""
    lines = []
    for hit in hits:
        text = hit.snippet
        for begin, end in reversed(hit.marks):
            text = f"{text[:begin]}[{text[begin:end]}]{text[end:]}"
        lines.append(text)
    return lines


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("steel", ["The boilers were made of better [steel].", "They do not need [steel]."]),
        ('"better steel"', ["The boilers were made of [better steel]."]),
        ('"better  STEEL', ["The boilers were made of [better steel]."]),
        ('"engine"', ["When was the first [engine] built?"]),
        ("engine", ["When was the first [engine] built?", "Today we talk about steam [engines]."]),
        ("locomotive", ["What made the [locomotives] faster?"]),
        ("locomot*", ["What made the [locomotives] faster?"]),
        ("steel -need", ["The boilers were made of better [steel]."]),
        ('steel -"not need"', ["The boilers were made of better [steel]."]),
        ("the roses of water", ["How often do you [water] the [roses]?", "[Roses] need [water] and sun."]),
        ("cafe CHAIRS", ["[Café] [chairs] stand there."]),
        ("absent noon", ["Twice a week in summer, and never at [noon]."]),
        ("-roses", []),
        ("", []),
        ("***", []),
    ],
)
def test_words(search: Search, text: str, found: list[str]) -> None:
    assert sorted(shown(search.find(text, ways=("words",)))) == sorted(found)
    both = shown(search.find(text))
    assert set(found) <= set(both) and (found or not both)


def test_a_hit_says_where_it_is(search: Search) -> None:
    [hit, *_] = search.find("boilers pressure steel")
    assert (hit.title, hit.show, hit.published, hit.speaker, hit.episode) == (
        "Engines",
        "Talks",
        "2024-01-02",
        "Bob",
        1,
    )
    assert hit.segment == 6 and hit.start == ENGINES.words[ENGINES.segments[6].first].start
    assert hit.end == ENGINES.words[ENGINES.segments[6].end - 1].end and hit.ways == ("words", "meaning")


@given(st.text(max_size=60))
@example('"')
@example('a" OR b')
@example("NEAR(a b, 3) AND text:b ^c {a}")
@example("\x00a\x00")
@example("\ud800 steel")
@example("a " * 3000)
@example("(" * 2000)
@example("*" + "\u0300" + '"\u0301"')
@example("क्षेत्र ﬁne ²½")
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_query(search: Search, text: str) -> None:
    for hit in search.find(text, Filters(speaker="Ann")):
        assert hit.speaker == "Ann" and all(0 <= begin < end <= len(hit.snippet) for begin, end in hit.marks)
    ask(search, text)
    search.evidence(text)
    parsed = query.parsed(text)
    for expression in (parsed.every(), parsed.any()):
        search.words(expression, Filters(), 5)


def test_filters(search: Search) -> None:
    store = search.store
    assert {hit.episode for hit in search.find("steel", Filters(show=2))} == {2}
    assert {hit.episode for hit in search.find("steel", Filters(episode=1))} == {1}
    assert {hit.episode for hit in search.find("steel", Filters(since="2025-01-01"))} == {2}
    assert {hit.episode for hit in search.find("steel", Filters(until="2024-01-02"))} == {1}
    assert search.find("steel", Filters(since="2024-01-03", until="2025-03-03")) == []
    store.set_quotes(1, [Quote(33, 37)])
    assert shown(search.find("steel pressure", Filters(quoted=True))) == ["[Pressure] rose to two hundred pounds."]
    store.rename_speaker(1, "Bob", "Robert")
    store.name_segment(2, 2, "Eve")
    for name, snippets in [("Robert", ["The boilers were made of better [steel]."]), ("Bob", []), ("Cy", [])]:
        assert shown(search.find("steel", Filters(speaker=name))) == snippets
    assert shown(search.find("steel", Filters(speaker="Eve"))) == ["They do not need [steel]."]
    store.rename_speaker(1, "Bob", "Bob")
    store.name_segment(2, 2, None)


def test_questions(search: Search) -> None:
    [first, *_] = ask(search, "What made locomotives faster?")
    assert first.asked == 5 and first.text.startswith("The boilers were") and first.speakers == ("Bob",)
    assert first.text == " ".join(ENGINES.segment_text(at) for at in range(first.first, first.end))
    assert first.start == ENGINES.words[ENGINES.segments[first.first].first].start
    [watering, *more] = ask(search, "how often must roses be watered?", Filters(show=2))
    spans = [(each.first, each.end) for each in [watering, *more]]
    assert (5, 6) in spans and all(a[1] <= b[0] or b[1] <= a[0] for a in spans for b in spans if a != b)
    assert ask(search, "?") == [] and ask(search, "zebra quagga") == []


def test_evidence_is_found_by_words_and_meaning(search: Search) -> None:
    for title, text in [
        ("Steel", "Cast steel came in 1740. " * 3),
        ("Roses", "Watering roses at noon burns their leaves."),
    ]:
        evidence.add(search.store, title, text, f"{title}.txt", "1990-01-01")
    assert search.index() == 2
    found = search.evidence("Do roses need water at noon?")
    assert [each.title for each in found] == ["Roses"] and found[0].source == "Roses.txt"
    assert [each.title for each in search.evidence("steel of 1740")][:1] == ["Steel"]
    text = "Steel of the web came in 1740."
    web = evidence.add(search.store, "Web", text, "https://a.example", "", "2026-03-01")
    assert search.index() == 0, "pages that a search found are looked at by their words"
    assert [each.title for each in search.evidence("steel of 1740")] == ["Steel"]
    assert [each.retrieved for each in search.evidence("steel of 1740", documents=[web])] == ["2026-03-01"]
    assert search.evidence("steel of 1740", documents=[]) == []
    evidence.add(search.store, "Mine now", text)
    assert search.index() == 1 and "Mine now" in {each.title for each in search.evidence("steel of 1740")}


def test_fusion_by_hand() -> None:
    scored = fused([("words", [1, 2, 2, 3]), ("meaning", [3, 1])])
    assert {id: item.score for id, item in scored.items()} == pytest.approx(
        {1: 1 / 61 + 1 / 62, 2: 1 / 62, 3: 1 / 63 + 1 / 61}
    )
    assert scored[2].ways == ["words"] and scored[3].ways == ["words", "meaning"]


# -- against brute force -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, dict[tuple[int, int], str]]:
    """A made library and all its segments."""
    chance = random.Random(3)
    vocabulary = [
        f"{a}{b}{c}" for a in ("ka", "lo", "mi") for b in ("ter", "ves", "sho") for c in ("ul", "in", "ox", "em")
    ]
    store = Store(tmp_path_factory.mktemp("library") / "a.db")
    show, texts = store.add_show("Made"), {}
    for number in range(12):
        turns = []
        for _ in range(30):
            words = " ".join(chance.choices(vocabulary, k=chance.randint(3, 9)))
            turns.append((chance.choice(["Ann", "Bob"]), f"{words.capitalize()}."))
        episode = store.add_episode(show, About(f"E{number}", guid=str(number)))
        transcript = said(*turns)
        store.set_transcript(episode, transcript)
        texts |= {(episode, each.id): transcript.segment_text(each.id) for each in transcript.segments}
    search = Search(store)
    search.index()
    return search, texts


def test_words_find_exactly_what_a_look_at_every_segment_finds(many: tuple[Search, dict[tuple[int, int], str]]) -> None:
    search, texts = many
    chance = random.Random(4)
    words = sorted({word for text in texts.values() for word in re.findall(r"\w+", text.lower())})
    for _ in range(60):
        first, second = chance.sample(words, 2)
        both = {at for at, text in texts.items() if {first, second} <= set(re.findall(r"\w+", text.lower()))}
        hits = search.find(f"{first} {second}", limit=1000, ways=("words",))
        if both:
            assert {(hit.episode, hit.segment) for hit in hits} == both
        phrase = {at for at, text in texts.items() if f"{first} {second}" in text.lower()}
        hits = search.find(f'"{first} {second}"', limit=1000)
        assert {(hit.episode, hit.segment) for hit in hits} == phrase
        without = {at for at, text in texts.items() if first in text.lower() and second not in text.lower()}
        hits = search.find(f"{first} -{second}", limit=1000, ways=("words",))
        assert {(hit.episode, hit.segment) for hit in hits} == without


def test_the_nearest_passages_are_the_nearest(many: tuple[Search, dict[tuple[int, int], str]]) -> None:
    search, texts = many
    for text in ("katerul lovesin", "mishoox", "katerem katerem loterul vesin"):
        query_D = search.embedder.embed([text])[0].astype(np.float64)
        brute = []
        for episode in range(1, 13):
            transcript = search.store.transcript(episode)
            assert transcript is not None
            for first, end in vectors.spans(transcript):
                said_there = " ".join(texts[episode, at] for at in range(first, end))
                brute.append((float(search.embedder.embed([said_there])[0] @ query_D), episode, first, end))
        brute.sort(key=lambda each: -each[0])
        near = search._index.nearest(query_D.astype(np.float32), 10)
        assert [(each.owner, each.first, each.end) for each in near] == [each[1:] for each in brute[:10]]
        np.testing.assert_allclose([each.cosine for each in near], [each[0] for each in brute[:10]], atol=1e-3)
        few = search._index.nearest(query_D.astype(np.float32), 10, owners=[3, 5])
        assert [(each.owner, each.first) for each in few] == [each[1:3] for each in brute if each[1] in (3, 5)][:10]


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_products_of_halves_are_exact(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    halves_ND = generator.integers(0, 2**16, (rows, columns), dtype=np.uint16).view(np.float16)
    halves_ND = np.where(np.isfinite(halves_ND), halves_ND, 0).astype(np.float16)  # subnormal numbers and -0 included
    query_D = generator.integers(-4, 5, columns).astype(np.float32)
    expected_N = halves_ND.astype(np.float64) @ query_D.astype(np.float64)
    # sums in single precision: each term's rounding counts by its size, not by that of a sum in which terms cancel
    sizes_N = np.abs(halves_ND.astype(np.float64)) @ np.abs(query_D.astype(np.float64))
    assert (np.abs(vectors._cosines(halves_ND, query_D) - expected_N) <= 1e-5 * sizes_N).all()


def test_new_vectors_are_seen_by_an_open_search(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    search = Search(store)
    assert search.find("steel", ways=("meaning",)) == []
    episode = store.add_episode(store.add_show("x"), About("E"))
    with Store(tmp_path / "a.db") as other:
        other.set_transcript(episode, GARDENS)
        vectors.index_episode(other, search.embedder, episode)
    assert search.find("steel", ways=("meaning",)) != []
    store.set_transcript(episode, ENGINES)
    assert search.find("steel", ways=("meaning",)) == [] and search.index() == 1
    store.remove_episode(episode)
    assert search.find("steel") == []


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    class Short(HashedEmbedder):
        def __init__(self, dimension: int) -> None:
            super().__init__(dimension)
            self.name = "same"

    store = Store(tmp_path / "a.db")
    for number in range(2):
        store.set_transcript(store.add_episode(store.add_show("x"), About(str(number))), GARDENS)
    vectors.index_episode(store, Short(8), 1)
    with pytest.raises(UsageError, match="another length"):
        Search(store, Short(16)).find("steel")
    vectors.index_episode(store, Short(16), 2)
    with pytest.raises(UsageError, match="differ in length"):
        Search(store, Short(16)).find("steel")


def test_passages_hold_every_segment_once_and_are_not_too_long() -> None:
    talk = said(
        *((name, "A sentence of some words. " * count) for name, count in [("A", 1), ("B", 30), ("A", 9), ("B", 1)])
    )
    cuts = list(vectors.spans(talk))
    assert [first for first, _ in cuts] == [0, *(end for _, end in cuts[:-1])] and cuts[-1][1] == len(talk.segments)
    lengths = [talk.segments[end - 1].end - talk.segments[first].first for first, end in cuts]
    assert max(lengths) <= 80 and all(length >= 25 for length in lengths[:-1])
    assert list(vectors.spans(Transcript((), (), Timing.NONE, talk.origin))) == []


def test_a_long_segment_is_shown_around_the_match(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    long = " ".join(["somewhat"] * 20 + ["needle"] + ["otherwise"] * 38) + "."
    store.set_transcript(store.add_episode(store.add_show("x"), About("E")), said(("A", long)))
    [hit] = Search(store).find("needle")
    assert "[needle]" in shown([hit])[0] and len(hit.snippet) < 330 and hit.snippet.startswith("… somewhat")
    assert hit.snippet.endswith(" …") and len(hit.marks) == 1
