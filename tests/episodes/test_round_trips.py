"""What is written is read back the same: words, speakers, and times as far as the format keeps them."""

from __future__ import annotations

import re

import srt
import webvtt
from hypothesis import assume, given, settings

from tests.episodes.conversations import PLAIN_WORD, transcripts
from whetstone.episodes import formats
from whetstone.episodes.formats import captions, labels
from whetstone.episodes.transcript import Timing, Transcript, Word

FEW = settings(max_examples=60, deadline=None)


def back(transcript: Transcript, kind: str) -> formats.Reading:
    return formats.read(formats.write(transcript, kind).encode(), f"a.{kind}")


def said(words: tuple[Word, ...]) -> list[tuple[str, str]]:
    return [(word.text, word.speaker) for word in words]


def chevrons(transcript: Transcript) -> bool:
    """ ">>" is a mark of captions, not a word: it is not kept where a caption begins with it."""
    return any(re.match(">{2}", word.text) for word in transcript.words)


@given(transcripts(Timing.WORD))
@FEW
def test_vtt_keeps_words_speakers_and_each_words_times(given_: Transcript) -> None:
    assume(not chevrons(given_))
    found = back(given_, "vtt")
    assert found.format == "vtt" and said(found.words) == said(given_.words)
    for word, original in zip(found.words, given_.words, strict=True):
        assert word.start == original.start
        assert word.end is not None and original.end is not None and word.end >= original.end


@given(transcripts(Timing.CUE))
@FEW
def test_vtt_keeps_cues(given_: Transcript) -> None:
    assume(not chevrons(given_))
    found = back(given_, "vtt")
    assert found.words == given_.words


@given(transcripts(Timing.CUE))
@FEW
def test_srt_keeps_words_and_cues(given_: Transcript) -> None:
    assume(not chevrons(given_))
    nameless = Transcript(
        tuple(Word(word.text, word.start, word.end) for word in given_.words),
        given_.segments,
        given_.timing,
        given_.origin,
    )
    groups = captions.groups(nameless)
    assume(all(labels.label(" ".join(w.text for w in nameless.words[g.first : g.end])) is None for g in groups))
    assert back(nameless, "srt").words == nameless.words


@given(transcripts(Timing.CUE, PLAIN_WORD, ["Ann", "Bob Lee", "Dr. Čapek"]))
@FEW
def test_srt_keeps_speakers(given_: Transcript) -> None:
    found = back(given_, "srt")
    # a name that stands once, in the middle of a sentence, is not believed to be one
    assume(
        all(
            word.text[-1] in ".?!"
            for word, after in zip(given_.words, given_.words[1:], strict=False)
            if word.speaker != after.speaker
        )
    )
    assert found.words == given_.words


@given(transcripts())
@FEW
def test_json_keeps_everything(given_: Transcript) -> None:
    found = back(given_, "json")
    assert found.words == given_.words
    paragraphs = {each.first for each in given_.segments if each.paragraph and each.first}
    assert paragraphs <= found.breaks | {0}
    assert found.timing == given_.timing or given_.timing == Timing.CUE


@given(transcripts(Timing.NONE, PLAIN_WORD, ["Ann", "Bob Lee", "Speaker 3"]))
@FEW
def test_text_keeps_words_speakers_and_paragraphs(given_: Transcript) -> None:
    assume(
        all(
            word.text[-1] in ".?!"
            for word, after in zip(given_.words, given_.words[1:], strict=False)
            if word.speaker != after.speaker
        )
    )
    found = back(given_, "text")
    assert said(found.words) == said(given_.words) and found.timing == Timing.NONE
    assert found.breaks == {each.first for each in given_.segments if each.paragraph}


@given(transcripts(Timing.WORD, PLAIN_WORD))
@FEW
def test_the_oracles_read_what_is_written(given_: Transcript) -> None:
    words = [word.text for word in given_.words]
    nameless = Transcript(
        tuple(Word(word.text, word.start, word.end) for word in given_.words),
        given_.segments,
        given_.timing,
        given_.origin,
    )
    theirs = webvtt.from_string(formats.write(given_, "vtt"))
    assert " ".join(caption.text for caption in theirs).split() == words
    cards = list(srt.parse(formats.write(nameless, "srt")))
    assert " ".join(card.content for card in cards).split() == words
    assert [card.start.total_seconds() for card in cards] == [group.start for group in captions.groups(nameless)]
    assert all(card.start < card.end for card in cards)
