"""Three voices made here, told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.episodes.hearing.speech import speak, write
from whetstone.episodes.hearing.sound import RATE, pieces
from whetstone.episodes.hearing.voices import VoiceEncoder, Voices, filled, mel_bands
from whetstone.episodes.transcript import Word
from whetstone.errors import UsageError

av = pytest.importorskip("av", reason="the extra asr is not installed")


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    try:
        return VoiceEncoder.load(lambda line: None)
    except UsageError as failure:
        pytest.skip(f"the voice encoder cannot be fetched: {failure}")


def test_the_bands_are_transformers_bands() -> None:
    audio = pytest.importorskip("transformers.audio_utils")
    filters = audio.mel_filter_bank(
        num_frequency_bins=201,
        num_mel_filters=40,
        min_frequency=0,
        max_frequency=8000,
        sampling_rate=RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    samples = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    theirs = audio.spectrogram(
        samples, audio.window_function(400, "hann"), 400, 160, power=2.0, mel_filters=filters, pad_mode="constant"
    ).T
    assert np.allclose(mel_bands(samples), theirs, rtol=1e-3, atol=1e-6)


def test_turns_of_three_voices(encoder: VoiceEncoder, tmp_path: Path) -> None:
    lines = [
        ("slt", "Good morning, and welcome to our little programme about harbours."),
        ("rms", "Thank you. I have worked on boats for more than twenty years now."),
        ("awb", "And I have repaired their engines, which is a different sort of life."),
        ("slt", "Let us begin with the winter of the great storm, if you remember it."),
        ("rms", "The noise of it, mostly. You could not hear a man beside you."),
        ("awb", "For me it was the cold, and the ice on every single rope."),
    ]
    sound, words, truth = [], [], []
    at = 0.0
    for place, (voice, text) in enumerate(lines):
        samples = next(pieces(speak(tmp_path / f"{place}.wav", text, voice))).samples
        split = text.split()
        width = len(samples) / RATE / len(split)
        words += [Word(w, at + i * width, at + (i + 1) * width) for i, w in enumerate(split)]
        truth += [voice] * len(split)
        sound += [samples, np.zeros(RATE // 2, np.float32)]
        at += len(samples) / RATE + 0.5
    path = write(tmp_path / "all.wav", np.concatenate(sound))
    voices = Voices(encoder)
    voices.listen(next(pieces(path)), words)
    names = {"slt": "Speaker 1", "rms": "Speaker 2", "awb": "Speaker 3"}
    for count in (None, 3):
        voices.count = count
        named = voices.named(words)
        right = sum(word.speaker == names[voice] for word, voice in zip(named, truth, strict=True))
        assert right / len(words) >= 0.9, (count, [word.speaker for word in named])


def test_a_few_words_of_nobody_between_words_of_one_person_are_that_persons() -> None:
    assert filled([0, 1, 0, 0, 1, 0, 2, 0]) == [0, 1, 1, 1, 1, 0, 2, 0]
    assert filled([1, *[0] * 7, 1]) == [1, *[0] * 7, 1]
    assert filled([]) == []


def test_nobody_is_named_where_nothing_was_heard(encoder: VoiceEncoder) -> None:
    words = [Word("Hello."), Word("There.")]
    assert Voices(encoder).named(words) == words
    with pytest.raises(UsageError, match="at least 1"):
        Voices(encoder, 0)
