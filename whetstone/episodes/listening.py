"""One episode from its files to its page, in stages that are kept and done again only when their input changed.

Behind ingest: hear (where there is no publisher's transcript) -> segment -> index -> read -> check -> render -> look
again. Every stage's result lies in the library's file; an interruption costs the part that was under way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from whetstone.episodes import kept
from whetstone.episodes.content import About, Badge, Chapter, Content, Quote
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.fetching import fetch, is_address, is_private
from whetstone.episodes.gate import Gate
from whetstone.episodes.hearing.sound import SUFFIXES
from whetstone.episodes.library.stored import keep
from whetstone.episodes.model.factcheck import Passage, check_claims
from whetstone.episodes.model.reading import read
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.page import write_page
from whetstone.episodes.page.exports import renamed
from whetstone.episodes.recheck import recheck
from whetstone.episodes.search import Search
from whetstone.episodes.segments import segmented
from whetstone.episodes.store import Episode, Store, stages, vectors
from whetstone.episodes.store.packing import fingerprint
from whetstone.episodes.transcript import Origin, Timing, Transcript, Word
from whetstone.errors import UsageError
from whetstone.files import atomic_write_bytes
from whetstone.runs.progress import Progress

VERSION = 1  # of what a stage makes: goes up when it makes something else from the same input
AUDIO = "audio"  # the sound's name beside the page
LARGEST_SOUND = 400 << 20  # bytes that are fetched
FETCH_SECONDS = 900.0


@dataclass
class Settings:
    """How to make a page. `speakers`: how many voices to tell apart in machine transcripts, 0: as many as there are,
    None: none. `second`: another recogniser, for passages that become quotes."""

    mapper: Writer | None = None
    reducer: Writer | None = None
    judged: bool = True
    recogniser: str = "base"
    recogniser_name: str | None = None  # what an endpoint calls it
    second: str | None = None
    speakers: int | None = None
    language: str | None = None
    anew: bool = False


@dataclass(frozen=True)
class Made:
    """A page that was made: where, and what is worth telling about it."""

    page: Path
    episode: int
    title: str
    content: Content
    transcript: Transcript
    refused: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        counts = asdict(self.content.counts)
        claims: dict[str, int] = {}
        for claim in self.content.claims:
            claims[claim.stance.value] = claims.get(claim.stance.value, 0) + 1
        return {
            "page": str(self.page),
            "episode": self.episode,
            "title": self.title,
            "words": len(self.transcript.words),
            "origin": self.transcript.origin.value,
            "timing": self.transcript.timing.value,
            "made_by": self.content.made_by,
            "quotes": len(self.content.quotes),
            "questions": len(self.content.answered),
            "chapters": len(self.content.chapters),
            "claims": claims,
            "counts": counts,
            "refused": list(self.refused),
        }


class Listening:
    """Makes pages of episodes and keeps all of them in one library."""

    def __init__(self, store: Store, settings: Settings, progress: Progress) -> None:
        self.store, self.settings, self.progress = store, settings, progress
        self.search = Search(store)
        self._recognisers: dict[str, Any] = {}

    def page(self, number: int, out: Path) -> Made:
        """The page of one episode of the library in the folder `out`.

        Raises UsageError for sound that cannot be read or is nowhere, WorkFailed when the page fails its own check.
        """
        known = self.store.episode(number)
        sound = self._sound(known) if known.origin is not Origin.PUBLISHER else _local(known.about.audio)
        if known.origin is not Origin.PUBLISHER:
            self.store.set_transcript(number, self._recognised(known, sound))
        heard = self.store.transcript(number, as_published=True)
        assert heard is not None
        vectors.index_episode(self.store, self.search.embedder, number, heard)
        content, refused = self._content(number, known.about, heard)
        if self.settings.second and sound is not None and heard.origin is Origin.MACHINE:
            content = self._heard_again(sound, heard, content, number)
        keep(self.store, number, content)
        names = {each.original: each.name for each in self.store.speakers(number)}
        about = known.about if sound is None else replace(known.about, audio=f"{AUDIO}{sound.suffix.lower()}")
        page = write_page(out, about, heard, content, {a: b for a, b in names.items() if a != b})
        if sound is not None:
            _beside(sound, out / about.audio)
        recheck(page.read_text(encoding="utf-8"), Gate(renamed(heard, names)))
        return Made(page, number, about.title, content, heard, tuple(refused))

    # -- words ------------------------------------------------------------------------------------------------------

    def _sound(self, known: Episode) -> Path:
        """The episode's sound on this machine; fetched next to the library where the user named a feed."""
        audio = known.about.audio
        if (found := _local(audio)) is not None:
            return found
        feed = next((show.feed for show in self.store.shows() if show.id == known.show), "")
        if feed and not is_address(feed) and not is_address(audio):
            beside = Path(feed).resolve().parent / audio
            if audio and beside.is_file() and beside.resolve().is_relative_to(Path(feed).resolve().parent):
                return beside
        if not is_address(audio):
            raise UsageError(f"there is neither a transcript nor sound of {known.about.title!r}")
        name = hashlib.sha256(audio.encode()).hexdigest()[:24]
        suffix = Path(httpx.URL(audio).path).suffix.lower()
        target = self.store.path.parent / "sound" / f"{name}{suffix if suffix in SUFFIXES else '.mp3'}"
        if not target.is_file():
            self.progress.message(f"fetching {audio}")
            inside = is_address(feed) and is_private(feed)  # a feed from elsewhere must not make us ask our neighbours
            content = fetch(audio, may_be_private=inside, largest=LARGEST_SOUND, seconds=FETCH_SECONDS).content
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(target, content)
        return target

    def _recognised(self, known: Episode, sound: Path | None) -> Transcript:
        assert sound is not None
        words, language = self._heard(sound, known.id)
        if not words:
            raise UsageError(f"no speech was found in {sound}")
        return Transcript(tuple(words), segmented(words, Timing.WORD), Timing.WORD, Origin.MACHINE, language)

    def _heard(self, sound: Path, number: int) -> tuple[list[Word], str]:
        """The words of a recogniser, piece by piece kept; with voices told apart where that is wanted."""
        from whetstone.episodes.hearing.recognise import Heard, hear
        from whetstone.episodes.hearing.sound import length

        wanted = self.settings
        about = {
            "sound": _hash(sound),
            "recogniser": wanted.recogniser,
            "language": wanted.language,
            "version": VERSION,
        }
        known: list[Heard] = []
        while (found := stages.recorded(self.store, number, f"hear/{len(known)}", about)) is not None:
            known.append(
                Heard(found["start"], found["seconds"], found["language"], tuple(Word(**w) for w in found["words"]))
            )
        kept_pieces = len(known)

        def keep_piece(heard: Heard) -> None:
            nonlocal kept_pieces
            stages.record(self.store, number, f"hear/{kept_pieces}", about, asdict(heard))
            kept_pieces += 1

        whole = length(sound)
        with self.progress.stage("hear (seconds)", round(whole or 0)) as stage:

            def show(seconds: float, _whole: float | None) -> None:
                stage.advance(round(seconds) - stage.done)

            pieces = hear(self._recogniser(wanted.recogniser), sound, known, keep_piece, show, wanted.language)
        words = [word for piece in pieces for word in piece.words]
        if wanted.speakers is not None and words:
            words = self._told_apart(sound, words, number, about)
        return words, next((piece.language for piece in pieces if piece.words), "")

    def _told_apart(self, sound: Path, words: list[Word], number: int, about: dict[str, Any]) -> list[Word]:
        from whetstone.episodes.hearing.sound import pieces
        from whetstone.episodes.hearing.voices import VoiceEncoder, Voices

        def tell() -> list[str]:
            voices = Voices(VoiceEncoder.load(self.progress.message), self.settings.speakers or None)
            with self.progress.stage("voices", len(words)) as stage:
                for piece in pieces(sound):
                    end = piece.start + piece.seconds
                    inside = [word for word in words if word.start is not None and piece.start <= word.start < end]
                    voices.listen(piece, inside)
                    stage.advance(len(inside))
            return [word.speaker for word in voices.named(words)]

        inputs = about | {"speakers": self.settings.speakers}
        named = stages.done(self.store, number, "voices", inputs, tell)
        return [replace(word, speaker=name) for word, name in zip(words, named, strict=True)]

    def _heard_again(self, sound: Path, heard: Transcript, content: Content, number: int) -> Content:
        """The content with "listen to check" on quotes of which a second recogniser hears something else."""
        from whetstone.episodes.hearing.recognise import second_look
        from whetstone.episodes.hearing.sound import pieces

        quotes = [*content.quotes, *(each.answer for each in content.answered)]

        def listen() -> list[list[int]]:
            second, doubtful = self._recogniser(self.settings.second or ""), []
            with self.progress.stage("hear quotes again", len(quotes)) as stage:
                for piece in pieces(sound):
                    for quote in quotes:
                        start = heard.start(quote.first)
                        if start is None or not piece.start <= start < piece.start + piece.seconds:
                            continue
                        again = second_look(second, heard.words[quote.first : quote.end], piece)
                        if any(word.doubtful for word in again):
                            doubtful.append([quote.first, quote.end])
                        stage.advance()
            return doubtful

        spans = [[quote.first, quote.end] for quote in quotes]
        inputs = {"sound": _hash(sound), "spans": spans, "second": self.settings.second, "version": VERSION}
        doubtful = stages.done(self.store, number, "hear again", inputs, listen)

        def marked(quote: Quote) -> Quote:
            doubt = [quote.first, quote.end] in doubtful and Badge.LISTEN not in quote.badges
            return replace(quote, badges=(*quote.badges, Badge.LISTEN)) if doubt else quote

        return replace(
            content,
            quotes=tuple(marked(quote) for quote in content.quotes),
            answered=tuple(replace(each, answer=marked(each.answer)) for each in content.answered),
        )

    def _recogniser(self, spec: str) -> Any:
        if spec not in self._recognisers:
            if spec.startswith(("http://", "https://")):
                from whetstone.engine.remote.credentials import ApiKey
                from whetstone.episodes.hearing.remote import RemoteRecogniser

                name = self.settings.recogniser_name
                if not name:
                    raise UsageError("an endpoint may serve several recognisers: name one by --recogniser-name")
                self._recognisers[spec] = RemoteRecogniser(spec, name, ApiKey.from_environment())
            else:
                from whetstone.episodes.hearing.recognise import Recogniser

                self._recognisers[spec] = Recogniser(spec)
        return self._recognisers[spec]

    # -- content ----------------------------------------------------------------------------------------------------

    def _content(self, number: int, about: About, heard: Transcript) -> tuple[Content, list[str]]:
        wanted, writer = self.settings, self.settings.mapper
        chapters = tuple(Chapter(each.title, each.segment) for each in self.store.chapters(number))
        inputs = {
            "transcript": fingerprint(heard),
            "about": asdict(about),
            "model": writer.name if writer else None,
            "reducer": wanted.reducer.name if wanted.reducer else None,
            "judged": wanted.judged,
            "version": VERSION,
        }
        if wanted.anew:
            for stage in ("read", "asked"):
                stages.forget(self.store, number, stage)

        def work() -> dict[str, Any]:
            if writer is None:
                return {
                    "content": kept.plain(content_without_model(about, heard, chapters)),
                    "claims": [],
                    "refused": [],
                }
            memory = _StageMemory(self.store, number)
            for each in {id(w): w for w in (writer, wanted.reducer) if w}.values():
                each.memory = memory
            with self.progress.stage("read", 1) as stage:

                def told(name: str, done: int, total: int) -> None:
                    stage.total, stage.done = max(1, total), done
                    stage.advance(0, name)

                reading = read(about, heard, writer, wanted.reducer, chapters, wanted.judged, told)
            claims = [[text, asdict(said)] for text, said in reading.claims]
            return {"content": kept.plain(reading.content), "claims": claims, "refused": reading.refused}

        found = stages.done(self.store, number, "read", inputs, work)
        content = kept.content(found["content"])
        claims = [(text, _quote(said)) for text, said in found["claims"]]
        return replace(content, claims=tuple(self._checked(number, claims))), found["refused"]

    def _checked(self, number: int, claims: Sequence[tuple[str, Quote]]) -> list[Any]:
        """Against the documents that the user added. What a model said of a claim is kept by what it was asked."""
        writer = self.settings.reducer or self.settings.mapper
        if writer is not None:
            writer.memory = _StageMemory(self.store, number)

        def find(text: str, most: int) -> list[Passage]:
            return [Passage(p.text, p.title, p.source, p.published) for p in self.search.evidence(text, most)]

        dismissed = frozenset(self.store.dismissed(number))
        return check_claims(claims, writer, find, dismissed)


class _StageMemory(MutableMapping[str, str]):
    """What a model answered, as stages of the episode."""

    def __init__(self, store: Store, number: int) -> None:
        self._store, self._number = store, number

    def __getitem__(self, key: str) -> str:
        found = stages.recorded(self._store, self._number, f"asked/{key}", {})
        if found is None:
            raise KeyError(key)
        return str(found)

    def __setitem__(self, key: str, value: str) -> None:
        stages.record(self._store, self._number, f"asked/{key}", {}, value)

    def __delitem__(self, key: str) -> None:
        stages.forget(self._store, self._number, f"asked/{key}")

    def __iter__(self) -> Iterator[str]:
        names = stages.finished(self._store, self._number)
        return iter([name.removeprefix("asked/") for name in names if name.startswith("asked/")])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _local(audio: str) -> Path | None:
    """The file of an episode's sound where it lies on this machine."""
    path = Path(audio) if audio and not is_address(audio) else None
    return path if path is not None and path.is_file() else None


def _quote(told: dict[str, Any]) -> Quote:
    badges = tuple(Badge(each) for each in told["badges"])
    return Quote(told["first"], told["end"], told["speaker"], badges)


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as failure:
        raise UsageError(f"{path} cannot be read: {failure.strerror}") from None


def _beside(sound: Path, target: Path) -> None:
    """The sound beside the page: the same file under a second name where that can be, else a copy."""
    if target.exists() and target.stat().st_size == sound.stat().st_size:
        return
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(sound.resolve(), partial)
    except OSError:
        shutil.copyfile(sound, partial)
    partial.replace(target)
