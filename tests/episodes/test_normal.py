"""The normal form: spelling and punctuation do not count, meaning does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.episodes.conversation import conversation
from whetstone.episodes.normal import normal, tokens

SAME = [
    ("40%", "40 %"),
    ("40%", "40 percent"),
    ("1,140 seals", "1140 seals"),
    ("“Don’t,” she said.", "don't she said"),
    ("well-known", "well known"),
    ("well—known", "well – known"),
    ("salt & sand", "salt and sand"),
    ("3½", "3 1/2"),
    ("the soft\u00adhyphen", "the softhyphen"),
    ("ﬁne", "FINE"),
    ("café", "cafe\u0301"),
    ("Ｗｉｄｅ", "wide"),
    ("*Very* _good_", "very good"),
    ("Acme™", "acme"),
    ("the investors' money", "the investors money"),
    ("$ 40", "$40"),
    ("Οδός.", "ΟΔΌΣ"),
]
DIFFERENT = [
    ("3.6", "36"),
    ("3,5", "35"),
    (".5", "5"),
    ("-5", "5"),
    ("−5", "5"),
    ("-$5", "$5"),
    ("10⁹", "109"),
    ("3½", "31/2"),
    ("1/2", "12"),
    ("$40", "40"),
    ("$40", "£40"),
    ("180°", "180"),
    ("~40", "40"),
    ("4:30", "430"),
    ("two", "2"),
    ("do not", "don't"),
    ("we're", "were"),
    ("its", "it's"),
    ("1st", "1"),
    ("#1", "1"),
    ("1, 140", "1140"),
    ("resume", "résumé"),
    ("1,14", "114"),
    ("A", "Å"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_only_spelling_changes_is_the_same(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_changes_the_meaning_is_not(one: str, other: str) -> None:
    assert tokens(one) != tokens(other)


def marks(text: str) -> frozenset[int]:
    return normal(text.split()).marks


def test_an_ellipsis_or_a_bracket_is_remembered_by_its_place() -> None:
    assert marks("we did … test it") == {2}
    assert marks("we did... test it") == {2}
    assert marks("we did . . . test it") == {2}
    assert marks("we did [not] test") == {2, 3}
    assert marks("that's it…") == {2}
    assert marks("we did . Then it rained .") == frozenset()
    assert marks("3.6 of .5") == frozenset()


def test_scripts_without_spaces_are_tokens_by_character() -> None:
    assert tokens("潮汐是可以预测的。") == tuple("潮汐是可以预测的")
    assert tokens("नमस्ते दुनिया") == ("नमस्ते", "दुनिया")


def test_every_word_of_the_interview_keeps_its_place() -> None:
    transcript = conversation()
    whole = normal([word.text for word in transcript.words])
    assert len(set(whole.words)) == len(transcript.words)
    for index in range(0, len(transcript.words), 7):
        own = [token for token, word in zip(whole.tokens, whole.words, strict=True) if word == index]
        assert tuple(own) == tokens(transcript.words[index].text)


TEXT = st.text(max_size=40) | st.text(alphabet="aB1.,'’\"-–—−%$&/ ½²…[]:*\u0301\u200b", max_size=30)


@given(TEXT)
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = tokens(text)
    assert tokens(" ".join(once)) == once


@given(st.lists(TEXT.map(lambda text: "".join(text.split())).filter(bool), max_size=12))
def test_the_map_to_words_is_exact(words: list[str]) -> None:
    whole = normal(words)
    assert list(whole.words) == sorted(whole.words)
    for index, word in enumerate(words):
        own = tuple(token for token, origin in zip(whole.tokens, whole.words, strict=True) if origin == index)
        assert own == normal([word]).tokens
    assert all(0 <= mark <= len(whole.tokens) for mark in whole.marks)


@given(st.lists(st.sampled_from(["the", "tide", "turns", "at", "3.6", "don't", "40%", "1,140"]), max_size=12))
def test_punctuation_between_words_does_not_count(words: list[str]) -> None:
    dressed = "“" + ", ".join(words).upper().replace("'", "’") + "!”"
    assert tokens(dressed) == tokens(" ".join(words))
