"""Words out of an episode's sound, in parts that are kept: an interruption costs the part that was under way.

What was heard belongs to the sound, so it outlives a transcript that is replaced (stages "hear/…" in the library).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from whetstone.episodes.content import Quote
from whetstone.episodes.hearing.recognise import Heard, Hears, Recogniser, hear, second_look
from whetstone.episodes.hearing.sound import length, pieces
from whetstone.episodes.hearing.weights import whisper_folder
from whetstone.episodes.segments import segmented
from whetstone.episodes.sounds import sha256
from whetstone.episodes.store import Store, stages
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word
from whetstone.errors import UsageError
from whetstone.runs.progress import Progress

VERSION = 3  # of what is kept: goes up when the same sound gives something else
SHORTER = 10.0  # seconds that a file may hold less than it says before that is told


@dataclass(frozen=True)
class HearingSettings:
    """Who hears. `speakers`: how many voices to tell apart, 0: as many as there are, None: none. `second`: another
    recogniser, for what becomes a quote."""

    recogniser: str = "base"
    recogniser_name: str | None = None  # what an endpoint calls it
    second: str | None = None
    speakers: int | None = None
    language: str | None = None


class Hearing:
    """Hears episodes of one library. Recognisers are loaded when they are first needed, and kept."""

    def __init__(self, store: Store, settings: HearingSettings, progress: Progress) -> None:
        """Raises UsageError, before anything is heard, for a recogniser that is not there."""
        self.store, self.settings, self.progress = store, settings, progress
        self._recognisers: dict[str, Hears] = {}
        if settings.second == settings.recogniser:
            raise UsageError(f"--second {settings.second} would hear the same again: name another recogniser")
        for spec in filter(None, (settings.recogniser, settings.second)):
            if _is_endpoint(spec):
                if not settings.recogniser_name:
                    raise UsageError("an endpoint may serve several recognisers: name one by --recogniser-name")
            elif spec != HearingSettings.recogniser or spec == settings.second:
                whisper_folder(spec)  # the default's packages may be missing where there is nothing to hear

    def transcript(self, sound: Path, number: int) -> tuple[Transcript, tuple[str, ...]]:
        """The words of an episode's sound, and what is to be known of them. Raises UsageError where nobody speaks."""
        wanted = self.settings
        about = {"sound": sha256(sound), "recogniser": wanted.recogniser, "name": wanted.recogniser_name,
                 "language": wanted.language, "version": VERSION}  # fmt: skip
        heard = self._pieces(sound, number, about)
        words = [word for piece in heard for word in piece.words]
        if not words:
            raise UsageError(f"no speech was found in {sound}")
        if wanted.speakers is not None:
            words = self._told_apart(sound, words, number, about)
        language = next((piece.language for piece in heard if piece.words), "")
        notes = [f"Heard by {self._called(wanted.recogniser)}."]
        said, held = length(sound), heard[-1].start + heard[-1].seconds
        if said is not None and held < said - SHORTER:
            notes.append(f"The sound is cut short: the file says that it lasts {said:.0f} s and holds {held:.0f} s.")
        transcript = Transcript(tuple(words), segmented(words, Timing.WORD), Timing.WORD, Origin.MACHINE, language)
        return transcript, tuple(notes)

    @property
    def second(self) -> str:
        """What the second recogniser is called."""
        return self._called(self.settings.second or "")

    def doubts(
        self, sound: Path, heard: Transcript, quotes: Sequence[Quote], number: int
    ) -> frozenset[tuple[int, int]] | None:
        """(first, end) of each quote in which the second recogniser hears something else; None where there is none, or
        it does not know the language. Kept."""
        spec = self.settings.second
        if not spec or not quotes:
            return None
        if heard.language and not self._recogniser(spec).understands(heard.language):
            self.progress.message(f"{spec} does not know {heard.language}: the quotes were not heard again")
            return None
        spans = sorted({(quote.first, quote.end) for quote in quotes})

        def listen() -> list[list[int]]:
            second, doubtful = self._recogniser(spec), []
            with self.progress.stage("hear quotes again", len(spans)) as stage:
                for piece in pieces(sound):
                    for first, end in spans:
                        start = heard.start(first)
                        if start is None or not piece.start <= start < piece.start + piece.seconds:
                            continue
                        again = second_look(second, heard.words[first:end], piece, heard.language or None)
                        if any(word.doubtful for word in again):
                            doubtful.append([first, end])
                        stage.advance()
            return doubtful

        inputs = {"sound": sha256(sound), "spans": spans, "second": spec, "name": self.settings.recogniser_name,
                  "version": VERSION}  # fmt: skip
        found = stages.done(self.store, number, "hear/again", inputs, listen)
        return frozenset((first, end) for first, end in found)

    def _pieces(self, sound: Path, number: int, about: dict[str, Any]) -> list[Heard]:
        known: list[Heard] = []
        while (found := stages.recorded(self.store, number, f"hear/{len(known)}", about)) is not None:
            words = tuple(Word(**word) for word in found["words"])
            known.append(Heard(found["start"], found["seconds"], found["language"], words))
        kept = len(known)

        def keep(heard: Heard) -> None:
            nonlocal kept
            stages.record(self.store, number, f"hear/{kept}", about, asdict(heard))
            kept += 1

        done = stages.recorded(self.store, number, "hear/whole", about)
        if done is not None and done == len(known):
            return known
        recogniser = self._recogniser(self.settings.recogniser)
        whole = length(sound)
        begun = known[-1].start + known[-1].seconds if known else 0.0
        with self.progress.stage("hear (seconds)", round(whole or 0), round(begun)) as stage:

            def show(seconds: float, _whole: float | None) -> None:
                stage.advance(max(0, round(seconds) - stage.done))

            found = hear(recogniser, sound, known, keep, show, self.settings.language)
            stage.total = stage.done  # what the file really held
        stages.record(self.store, number, "hear/whole", about, len(found))
        return found

    def _told_apart(self, sound: Path, words: list[Word], number: int, about: dict[str, Any]) -> list[Word]:
        from whetstone.episodes.hearing.voices import VoiceEncoder, Voices

        def tell() -> list[str]:
            voices = Voices(VoiceEncoder.load(self.progress.message), self.settings.speakers or None)
            with self.progress.stage("tell voices apart (words)", len(words)) as stage:
                for piece in pieces(sound):
                    end = piece.start + piece.seconds
                    inside = [word for word in words if word.start is not None and piece.start <= word.start < end]
                    voices.listen(piece, inside)
                    stage.advance(len(inside))
            return [word.speaker for word in voices.named(words)]

        named = stages.done(self.store, number, "hear/voices", about | {"speakers": self.settings.speakers}, tell)
        return [replace(word, speaker=name) for word, name in zip(words, named, strict=True)]

    def _recogniser(self, spec: str) -> Hears:
        if spec not in self._recognisers:
            if _is_endpoint(spec):
                from whetstone.engine.remote.endpoint import checked_address, environment_key
                from whetstone.episodes.hearing.remote import RemoteRecogniser

                name, key = self.settings.recogniser_name or "", environment_key(checked_address(spec))
                self._recognisers[spec] = RemoteRecogniser(spec, name, key)
            else:
                self._recognisers[spec] = Recogniser(spec)
        return self._recognisers[spec]

    def _called(self, spec: str) -> str:
        if _is_endpoint(spec):
            return f"{self.settings.recogniser_name} at {spec}"
        return f"Whisper {Path(spec).name}"


def _is_endpoint(spec: str) -> bool:
    return spec.startswith(("http://", "https://"))
