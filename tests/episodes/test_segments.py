"""Segments: about a sentence each, never across a speaker, a long pause or a paragraph; every word in exactly one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.episodes.conversations import said, transcripts
from whetstone.episodes import segments
from whetstone.episodes.transcript import Timing, Transcript, Word


def texts(transcript: Transcript) -> list[str]:
    return [transcript.segment_text(each.id) for each in transcript.segments]


@pytest.mark.parametrize(
    "sentences",
    [
        ["I met Dr. Smith at 5 p.m. sharp.", "He was late."],
        ["He left.", '"Why?" she asked.', "Nobody knew."],
        ["He left.", "“Why?” she asked.", "“Because,” he said, “I must.”", "“Oh.”", "She sat."],
        ['He said: "Stop."', '"No," I said.', "(It was late.)", "Then he stopped."],
        ["It cost 3.5 percent of the U.S. budget.", "Really?", "Yes!", "And so on…"],
        ["J. R. R. “Ronald” Tolkien wrote it.", "Was it good?"],
        ["¿Qué?", "«Nada», dijo.", "„Wirklich?“ fragte er."],
    ],
)
def test_sentences(sentences: list[str]) -> None:
    assert texts(said(("Ann", " ".join(sentences)))) == sentences


def test_a_speaker_a_pause_and_a_paragraph_end_a_segment() -> None:
    two = said(("Ann", "we go to"), ("Bob", "the sea"), ("Ann", "now"))
    assert texts(two) == ["we go to", "the sea", "now"] and [each.paragraph for each in two.segments] == [True] * 3
    words = [Word("one", 0, 0.3), Word("two", 2.0, 2.3), Word("three", 4.5, 5.0), Word("four", None, None)]
    cut = segments.segmented(words, Timing.WORD)
    assert [(each.first, each.end, each.paragraph) for each in cut] == [(0, 2, True), (2, 4, False)]
    assert len(segments.segmented(words, Timing.CUE)) == 1
    broken = segments.segmented(words, Timing.CUE, frozenset({1}))
    assert [(each.first, each.paragraph) for each in broken] == [(0, True), (1, True)]
    assert segments.segmented([], Timing.NONE) == ()


def test_talk_without_punctuation_is_cut_where_it_pauses() -> None:
    words, clock = [], 0.0
    for number in range(200):
        clock += 0.9 if number and number % 25 == 0 else 0.05
        words.append(Word(f"w{number}", round(clock, 3), round(clock + 0.3, 3)))
        clock += 0.3
    cut = segments.segmented(words, Timing.WORD)
    assert {each.first % 25 for each in cut} == {0} and max(each.end - each.first for each in cut) <= 60
    commas = [Word(f"w{number}" + ("," if number % 20 == 19 else "")) for number in range(200)]
    assert {each.first % 20 for each in segments.segmented(commas, Timing.NONE)} == {0}
    assert len(segments.segmented([Word("w")] * 200, Timing.NONE)) == 4


def test_a_long_monologue_gets_paragraphs_and_an_authors_own_stay() -> None:
    monologue = said(("Ann", "This is a sentence of seven words. " * 100), timing=Timing.CUE)
    starts = [each.first for each in monologue.segments if each.paragraph]
    assert len(starts) > 4 and all(80 <= b - a <= 160 for a, b in pairwise(starts))
    own = segments.segmented(monologue.words, Timing.CUE, frozenset({0, 350}))
    assert [each.first for each in own if each.paragraph] == [0, 350]


@given(transcripts(most=120))
@settings(max_examples=100, deadline=None)
def test_every_word_is_in_one_segment_of_its_speaker(given_: Transcript) -> None:
    at = 0
    for number, each in enumerate(given_.segments):
        assert (each.id, each.first) == (number, at) and each.first < each.end <= each.first + 60
        assert {word.speaker for word in given_.words[each.first : each.end]} == {each.speaker}
        at = each.end
    assert at == len(given_.words) and given_.segments[0].paragraph
