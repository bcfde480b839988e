"""Speech to words with their times, by Whisper on this machine.

Speech is looked for first (VAD), because Whisper writes words over silence; a piece's text never conditions the next,
because loops travel that way; words in loops are marked. Piece by piece, so that an interruption costs one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from whetstone.episodes.hearing.doubts import disagreements, loops
from whetstone.episodes.hearing.sound import RATE, Piece, length, pieces
from whetstone.episodes.hearing.weights import DEFAULT, EXTRA, whisper_folder
from whetstone.episodes.transcript import Word
from whetstone.errors import UsageError

LOUDEST_REPETITION = 2.4  # zlib's ratio above which a segment's text repeats itself (Whisper's own threshold)
SHORTEST_SILENCE = 500  # milliseconds between two stretches of speech
STRAY = 4.0  # seconds between a segment's first words and the others that nobody is silent for in a sentence
CONTEXT = 1.0  # seconds around a stretch that is heard again


@dataclass(frozen=True)
class Heard:
    """The words of one piece that begins at `start` and lasts `seconds`; `language` as a code ("en")."""

    start: float
    seconds: float
    language: str
    words: tuple[Word, ...]


class Hears(Protocol):
    """Anything that turns a piece of sound into words."""

    name: str

    def piece(self, piece: Piece, language: str | None = None) -> Heard:
        """The words of one piece, times from the file's start. Without a language it finds out itself.

        Raises UsageError for a language that it does not know."""
        ...

    def understands(self, language: str) -> bool:
        """Whether it knows a language (a code: "en")."""
        ...


def hear(
    recogniser: Hears,
    path: Path,
    known: Sequence[Heard] = (),
    keep: Callable[[Heard], None] = lambda heard: None,
    progress: Callable[[float, float | None], None] = lambda seconds, whole: None,
    language: str | None = None,
) -> list[Heard]:
    """Every piece of a file. `known` are pieces of an earlier, interrupted run; `keep` is called with each new one;
    `progress` with the seconds that are done and the file's length where it says so.

    Raises UsageError for a file without sound.
    """
    done = {round(heard.start, 3): heard for heard in known}
    whole = length(path)
    found: list[Heard] = []
    for piece in pieces(path):
        heard = done.get(round(piece.start, 3))
        if heard is None:
            spoken = language or next((each.language for each in found if each.words), None)
            heard = recogniser.piece(piece, spoken)
            keep(heard)
        found.append(heard)
        progress(piece.start + piece.seconds, whole)
    return found


class Recogniser:
    """Whisper from a folder. Uses `threads` threads; about half a gigabyte with the default weights."""

    def __init__(self, spec: str = DEFAULT, threads: int = 2, beam: int = 5) -> None:
        """Raises UsageError: weights that are not there, or the package that runs them."""
        folder = whisper_folder(spec)
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise UsageError(f"recognising speech needs more packages: {EXTRA}") from None
        self.name = spec
        self.beam = beam
        try:
            self._model: Any = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=threads)
        except (RuntimeError, ValueError) as failure:
            raise UsageError(f"{folder} holds no Whisper in CTranslate2's form: {failure}") from None

    def understands(self, language: str) -> bool:
        """See `Hears`. What knows only English is not told so by its weights' names, but by the weights."""
        return bool(self._model.model.is_multilingual) or language == "en"

    def piece(self, piece: Piece, language: str | None = None) -> Heard:
        """See `Hears.piece`."""
        if language is not None and not self.understands(language):
            raise UsageError(f"{self.name} hears English only, not {language!r}: choose another recogniser")
        try:
            return self._heard(piece, language)
        except ValueError as failure:
            if "language code" not in str(failure):
                raise
            raise UsageError(f"Whisper knows no language {language!r}: give a code, such as en, de or pt") from None

    def _heard(self, piece: Piece, language: str | None) -> Heard:
        segments, info = self._model.transcribe(
            piece.samples,
            language=language,
            beam_size=self.beam,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=True,
            vad_parameters={"min_silence_duration_ms": SHORTEST_SILENCE},
            compression_ratio_threshold=LOUDEST_REPETITION,
        )
        words = [word for segment in segments for word in _words(segment, piece.start)]
        return Heard(piece.start, piece.seconds, info.language, tuple(loops(words)))


def second_look(second: Hears, words: Sequence[Word], piece: Piece, language: str | None = None) -> list[Word]:
    """Words of a stretch of a piece that one recogniser heard, those marked doubtful that a second one does not hear.
    Words without times stay as they are."""
    timed = [word for word in words if word.start is not None and word.end is not None]
    if not timed:
        return list(words)
    first = max(0.0, (timed[0].start or 0.0) - CONTEXT - piece.start)
    last = (timed[-1].end or 0.0) + CONTEXT - piece.start
    part = piece.samples[int(first * RATE) : int(last * RATE)]
    return disagreements(words, second.piece(Piece(piece.start + first, part), language).words)


def _words(segment: Any, offset: float) -> list[Word]:
    repeats = segment.compression_ratio > LOUDEST_REPETITION
    found: list[Word] = []
    for word in segment.words or ():
        start, end = round(word.start + offset, 2), round(word.end + offset, 2)
        probability = round(word.probability, 3)
        for place, text in enumerate(word.word.split()):  # now and then two words come as one
            # and one word as two: "300" and ",000", without a blank between them
            if place == 0 and found and not word.word[0].isspace() and text[0] in "0123456789,.-'’%":
                before = found[-1]
                lower = min(probability, before.probability or 0.0)
                found[-1] = replace(before, text=before.text + text, end=end, probability=lower)
            else:
                found.append(Word(text, start, end, "", probability, repeats))
    return _gathered(found)


def _gathered(words: list[Word]) -> list[Word]:
    """The words of a segment; one or two that stand long before all others are moved up to them: what was taken for
    speech there was the end of music, and the sentence begins where the others are."""
    for count in (1, 2):
        if len(words) < count + 3:
            break
        before, after = words[count - 1].end, words[count].start
        if before is not None and after is not None and after - before > STRAY:
            moved = [
                replace(w, start=round((w.start or 0) + after - before, 2), end=round((w.end or 0) + after - before, 2))
                for w in words[:count]
            ]
            return moved + words[count:]
    return words
