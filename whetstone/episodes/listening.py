"""One episode from its files to its page, in stages that are kept and done again only when their input changed.

Behind ingest: hear (where there is no publisher's transcript) -> segment -> index -> read -> check -> render -> look
again. Every stage's result lies in the library's file; an interruption costs the part that was under way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from whetstone.episodes import kept
from whetstone.episodes.content import About, Badge, Chapter, Content, Quote
from whetstone.episodes.embedding import Embedder
from whetstone.episodes.evidence.finding import EvidenceFinder
from whetstone.episodes.evidence.gathering import Gathered, Gatherer, forget_unused
from whetstone.episodes.evidence.own_words import OwnWords
from whetstone.episodes.evidence.searching import SearchEndpoint
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.gate import Gate
from whetstone.episodes.gate.recheck import recheck
from whetstone.episodes.heard import Hearing, HearingSettings
from whetstone.episodes.library.stored import keep
from whetstone.episodes.model.claims import to_check
from whetstone.episodes.model.factcheck import check_claims, fewer
from whetstone.episodes.model.reading import read
from whetstone.episodes.model.writer import Writer
from whetstone.episodes.page import write_page
from whetstone.episodes.page.clock import clock
from whetstone.episodes.page.exports import renamed
from whetstone.episodes.page.folder import require_place
from whetstone.episodes.search import Search
from whetstone.episodes.sounds import sound_here, sound_of
from whetstone.episodes.store import Episode, Store, stages, vectors
from whetstone.episodes.store.packing import fingerprint
from whetstone.episodes.transcript import Origin, Transcript
from whetstone.errors import UsageError
from whetstone.runs.progress import Progress, Stage

MOST_OPEN = 24  # claims on a page about which nothing was found
VERSION = 4  # of what a stage makes: goes up when it makes something else from the same input
SHORTER, LONGER = 3.0, 30.0  # seconds by which the sound may be shorter or longer than the words before that is told


@dataclass
class Settings:
    """How to make a page. `mapper` reads the parts, `reducer` (default: the same) merges, writes and judges."""

    mapper: Writer | None = None
    reducer: Writer | None = None
    judged: bool = True
    hearing: HearingSettings = field(default_factory=HearingSettings)
    evidence_from_library: bool = False
    evidence_search: SearchEndpoint | None = None
    embedder: Embedder | None = None  # None: the floor
    anew: bool = False


@dataclass(frozen=True)
class Made:
    """A page that was made: where, and what is worth telling about it."""

    page: Path
    episode: int
    about: About
    content: Content
    transcript: Transcript
    refused: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        claims: dict[str, int] = {}
        for claim in self.content.claims:
            claims[claim.stance.value] = claims.get(claim.stance.value, 0) + 1
        return {
            "page": str(self.page),
            "episode": self.episode,
            "title": self.about.title,
            "show": self.about.show,
            "words": len(self.transcript.words),
            "origin": self.transcript.origin.value,
            "timing": self.transcript.timing.value,
            "language": self.transcript.language,
            "made_by": self.content.made_by,
            "quotes": len(self.content.quotes),
            "questions": len(self.content.answered),
            "chapters": len(self.content.chapters),
            "claims": claims,
            "counts": asdict(self.content.counts),
            "notes": list(self.content.notes),
            "searched": list(self.content.searched),
            "refused": list(self.refused),
        }


class Listening:
    """Makes pages of episodes and keeps all of them in one library."""

    def __init__(self, store: Store, settings: Settings, progress: Progress) -> None:
        """Raises UsageError for a recogniser that is not there."""
        self.store, self.settings, self.progress = store, settings, progress
        self.search = Search(store, settings.embedder)
        self.hearing = Hearing(store, settings.hearing, progress)

    def page(self, number: int, out: Path) -> Made:
        """The page of one episode of the library in the folder `out`.

        Raises UsageError for sound that cannot be read or is nowhere, WorkFailed when the page fails its own check.
        """
        require_place(out)
        known = self.store.episode(number)
        sound, notes = self._words(known)
        heard = self.store.transcript(number, renamed=False)
        assert heard is not None
        known = self._timed(known, heard, sound)
        vectors.index_episode(self.store, self.search.embedder, number)
        content, refused = self._content(known, heard)
        content = replace(content, notes=(*notes, *_mismatch(heard, sound)))
        if sound is not None and heard.origin is Origin.MACHINE:
            content = self._heard_again(sound, heard, content, number)
        names = {each.original: each.name for each in self.store.speakers(number)}
        gate = Gate(renamed(heard, names))
        page = write_page(
            out, known.about, heard, content, {a: b for a, b in names.items() if a != b},
            sound=sound, check=lambda html: recheck(html, gate),
        )  # fmt: skip
        keep(self.store, number, content)
        return Made(page, number, known.about, content, heard, tuple(refused))

    # -- words ------------------------------------------------------------------------------------------------------

    def _words(self, known: Episode) -> tuple[Path | None, tuple[str, ...]]:
        """See to it that there is a transcript. The sound, where it is on this machine, and what to know of it."""
        if known.words and known.source:  # a file or a feed brought it, whoever wrote it
            return sound_here(self.store, known), ()
        sound = sound_of(self.store, known, self.progress.message)
        transcript, notes = self.hearing.transcript(sound, known.id)
        self.store.set_transcript(known.id, transcript)
        return sound, notes

    def _timed(self, known: Episode, heard: Transcript, sound: Path | None) -> Episode:
        """The episode with its length, where only its sound or its words tell."""
        if known.about.seconds is not None:
            return known
        seconds = (_length(sound) if sound is not None else None) or _last_second(heard)
        if seconds is None:
            return known
        self.store.add_episode(known.show, replace(known.about, seconds=seconds))
        return self.store.episode(known.id)

    def _heard_again(self, sound: Path, heard: Transcript, content: Content, number: int) -> Content:
        """The content with "listen to check" on quotes of which a second recogniser hears something else."""
        quotes = [*content.quotes, *(each.answer for each in content.answered), *(c.said for c in content.claims)]
        doubtful = self.hearing.doubts(sound, heard, quotes, number)
        if doubtful is None:
            return content

        def marked(quote: Quote) -> Quote:
            doubt = (quote.first, quote.end) in doubtful and Badge.LISTEN not in quote.badges
            return replace(quote, badges=(*quote.badges, Badge.LISTEN)) if doubt else quote

        note = f"{self.hearing.second} heard the quotes again, and heard something else in {len(doubtful)} of them."
        return replace(
            content,
            quotes=tuple(marked(quote) for quote in content.quotes),
            answered=tuple(replace(each, answer=marked(each.answer)) for each in content.answered),
            claims=tuple(replace(each, said=marked(each.said)) for each in content.claims),
            notes=(*content.notes, note),
        )

    # -- content ----------------------------------------------------------------------------------------------------

    def _content(self, known: Episode, heard: Transcript) -> tuple[Content, list[str]]:
        wanted, writer, number = self.settings, self.settings.mapper, known.id
        chapters = tuple(Chapter(each.title, each.segment) for each in self.store.chapters(number))
        inputs = {
            "transcript": fingerprint(heard),
            "about": asdict(known.about),
            "chapters": [asdict(each) for each in chapters],
            "model": writer.name if writer else None,
            "reducer": wanted.reducer.name if wanted.reducer else None,
            "context": [each.context for each in (writer, wanted.reducer) if each],
            "judged": wanted.judged,
            "version": VERSION,
        }
        if wanted.anew:
            for stage in ("read", "asked"):
                stages.forget(self.store, number, stage)

        def work() -> dict[str, Any]:
            if writer is None:
                plain = content_without_model(known.about, heard, chapters)
                return {"content": kept.plain(plain), "claims": [], "refused": []}
            self._remember(number)
            with _Stages(self.progress) as shown:
                reading = read(known.about, heard, writer, wanted.reducer, chapters, wanted.judged, shown.told)
            claims = [[text, asdict(said)] for text, said in reading.claims]
            plain_content = kept.plain(reading.content)
            return {"content": plain_content, "claims": claims, "refused": reading.refused, "unheard": reading.unheard}

        found = stages.done(self.store, number, "read", inputs, work)
        if found.get("unheard"):
            stages.forget(self.store, number, "read")  # what was answered is kept; the rest is asked for the next time
            self.progress.message(f"{found['unheard']} parts got no answer: the same command asks for them again")
        claims = [(text, _quote(said)) for text, said in found["claims"]]
        content = kept.content(found["content"])
        return self._checked(known, heard, content, claims), found["refused"]

    def _checked(
        self, known: Episode, heard: Transcript, content: Content, claims: Sequence[tuple[str, Quote]]
    ) -> Content:
        """The content with its claims, held against the evidence that the user added or had searched. What a model said
        of a claim is kept by what it was asked."""
        if not claims:
            return content
        writer = self.settings.reducer or self.settings.mapper
        self._remember(known.id)
        own, dismissed = OwnWords(heard), frozenset(self.store.dismissed(known.id))
        gathered = self._gathered(known, own, to_check(claims, dismissed))
        finder = EvidenceFinder(self.search, known, own, self.settings.evidence_from_library, gathered.documents)
        with _Stages(self.progress) as shown:
            checked = check_claims(claims, writer, finder.find, dismissed, shown.told, own.quoted)
        return replace(content, claims=tuple(fewer(checked, MOST_OPEN)), searched=gathered.notes)

    def _gathered(self, known: Episode, own: OwnWords, claims: Mapping[str, str]) -> Gathered:
        """The pages that the user's search finds for claims; none where the user named no search."""
        if self.settings.evidence_search is None or not claims:
            return Gathered({})
        gatherer = Gatherer(self.store, self.settings.evidence_search, known, own, self.settings.anew)
        with _Stages(self.progress) as shown:
            gathered = gatherer.gather(claims, partial(shown.told, "search for claims"))
        if gatherer.problem:
            self.progress.message(f"the search for evidence: {gatherer.problem}")
        if self.settings.anew:
            forget_unused(self.store)
        return gathered

    def _remember(self, number: int) -> None:
        """What the models answer from now on is kept with the episode."""
        for writer in (self.settings.mapper, self.settings.reducer):
            if writer is not None:
                writer.memory = _StageMemory(self.store, number)


class _Stages:
    """Stages of progress that follow each other as they are told: a new name ends the one before."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._open = progress, ExitStack()
        self._stage: Stage | None = None

    def told(self, name: str, done: int, wanted: int) -> None:
        """`done` of `wanted` steps of the stage `name` are done."""
        if self._stage is None or self._stage.name != name:
            self._open.close()
            self._stage = self._open.enter_context(self._progress.stage(name, wanted, done))
        self._stage.total = wanted
        self._stage.advance(done - self._stage.done)

    def __enter__(self) -> _Stages:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._open.__exit__(*failure)


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


def _length(sound: Path) -> float | None:
    """Seconds of sound; None also where the packages that read sound are not installed, or cannot read this."""
    from whetstone.episodes.hearing.sound import length

    try:
        return length(sound)
    except UsageError:
        return None


def _last_second(heard: Transcript) -> float | None:
    return max((word.end for word in heard.words if word.end is not None), default=None)


def _mismatch(heard: Transcript, sound: Path | None) -> tuple[str, ...]:
    """A note where a publisher's transcript and the sound are not of one length: its times may be off."""
    if sound is None or heard.origin is not Origin.PUBLISHER:
        return ()
    last, whole = _last_second(heard), _length(sound)
    if last is None or whole is None or -SHORTER <= whole - last <= max(LONGER, 0.1 * whole):
        return ()
    return (
        f"The transcript ends at {clock(last)} and the sound at {clock(whole)}: one may have advertisements that the "
        "other has not, and then times are off.",
    )


def _quote(told: dict[str, Any]) -> Quote:
    badges = tuple(Badge(each) for each in told["badges"])
    return Quote(told["first"], told["end"], told["speaker"], badges)
