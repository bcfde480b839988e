"""The library's pages over a real store: its episodes, its search, and a page's content as it was kept."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from whetstone.episodes import asking, formats, kept, segments
from whetstone.episodes.content import About, Answered, Claim, Content, Quote
from whetstone.episodes.embedding import Embedder
from whetstone.episodes.extract import content_without_model
from whetstone.episodes.fetching import is_address
from whetstone.episodes.library.shelf import Compose, Entry, Hit, Reply, Shown, UnknownEpisode, Wanted
from whetstone.episodes.search import Filters, Search
from whetstone.episodes.search import Hit as FoundHit
from whetstone.episodes.sounds import sound_here
from whetstone.episodes.store import Episode, Store, stages
from whetstone.episodes.transcript import Origin, Timing, Transcript
from whetstone.errors import UsageError

STAGE = "page"
ANSWERS = 5
LONGEST_NAME = 200


def open_shelf(path: Path, compose: Compose | None = None, embedder: Embedder | None = None) -> StoredShelf:
    """The shelf of the library in the file `path`; vectors that are missing are computed. Raises UsageError where that
    is none."""
    if not Path(path).is_file():
        raise UsageError(f"there is no library at {path}: whet listen FILE makes one")
    shelf = StoredShelf(Store(path), compose, embedder)
    shelf.index()
    return shelf


def keep(store: Store, episode: int, content: Content) -> None:
    """Keep what an episode's page says; a new transcript forgets it. Speakers are called as in the transcript."""
    with store.writing():
        stages.record(store, episode, STAGE, {}, kept.plain(content))
        store.set_quotes(episode, content.quotes)


def kept_content(store: Store, episode: int) -> Content | None:
    """What `keep` kept last, None for nothing."""
    told = stages.recorded(store, episode, STAGE, {})
    return None if told is None else kept.content(told)


@dataclass(frozen=True)
class _Catalogue:
    """What the list and the filters need of all episodes, at one revision of the store."""

    revision: int
    episodes: tuple[Episode, ...]
    speakers: Mapping[int, tuple[str, ...]]  # as they are shown


def rename(store: Store, episode: int, names: Mapping[str, str], in_show: bool = False) -> int:
    """Call speakers of an episode by other names, "" takes a name back; `in_show`: in all episodes of its show in which
    somebody is called so. In how many episodes. Raises UsageError for a name that is none, and for a speaker or a show
    that is not there.
    """
    known = store.episode(episode)
    if in_show and not known.about.show:
        raise UsageError(f"episode {episode} belongs to no show")
    count = 1
    with store.writing():
        for speaker, name in names.items():
            called = _one_line(name)
            store.rename_speaker(episode, speaker, called or speaker)
            if in_show:
                count = max(count, store.rename_speaker_in_show(known.show, speaker, called or speaker))
    return count


def _one_line(name: str) -> str:
    """A name as it is kept. Raises UsageError."""
    called = " ".join(name.split())
    if len(called) > LONGEST_NAME or not called.isprintable():
        raise UsageError(f"a name is one line of {LONGEST_NAME} characters at most")
    return called


class StoredShelf:
    """A `Shelf`. `compose` writes an answer from hits; without it answers are the passages themselves."""

    def __init__(self, store: Store, compose: Compose | None = None, embedder: Embedder | None = None) -> None:
        self._store, self._compose = store, compose
        self._search = Search(store, embedder)
        self._lock = threading.Lock()
        self._known: _Catalogue | None = None

    def index(self) -> None:
        """See to it that search by meaning knows all episodes."""
        self._search.index()

    # -- reading --------------------------------------------------------------------------------------------------

    def episodes(self, wanted: Wanted, title: str, first: int, count: int) -> tuple[Sequence[Entry], int]:
        """See `Shelf`."""
        catalogue = self._catalogue()
        words = title.casefold().split()
        found = [
            each
            for each in catalogue.episodes
            if _fits(each, wanted, catalogue.speakers[each.id])
            and all(word in each.about.title.casefold() for word in words)
        ]
        shown = found[first : first + count]
        return [self._entry(each, catalogue.speakers[each.id]) for each in shown], len(found)

    def shows(self) -> Sequence[str]:
        """See `Shelf`."""
        return sorted({each.about.show for each in self._catalogue().episodes} - {""})

    def speakers(self) -> Sequence[str]:
        """See `Shelf`."""
        return sorted({name for names in self._catalogue().speakers.values() for name in names})

    def episode(self, episode: str) -> Shown:
        """See `Shelf`."""
        with self._store.reading():
            found = self._episode(episode)
            version = str(self._store.revision())
            transcript = self._store.transcript(found.id)
            dismissed = self._store.dismissed(found.id)
            content = kept_content(self._store, found.id)
        if transcript is None:
            raise UnknownEpisode(f"episode {episode} has no transcript yet")
        if content is None:
            content = self._made(found, transcript)
        claims = tuple(replace(claim, dismissed=claim.id in dismissed) for claim in content.claims)
        return Shown(found.about, transcript, _named(replace(content, claims=claims), transcript), {}, version)

    def voices(self, episode: str) -> tuple[Transcript, Mapping[str, str]]:
        """See `Shelf`."""
        found = self._episode(episode)
        transcript = self._store.transcript(found.id, as_published=True)
        names = {each.original: each.name for each in self._store.speakers(found.id) if each.name != each.original}
        return transcript or Transcript((), (), Timing.NONE, Origin.PUBLISHER), names

    def corrections(self, episode: str) -> Mapping[int, str]:
        """See `Shelf`."""
        return self._store.corrections(self._episode(episode).id)

    def audio(self, episode: str) -> Path | None:
        """See `Shelf`. Only what is called sound or film is given out, whatever a feed may say."""
        path = sound_here(self._store, self._episode(episode))
        kind = mimetypes.guess_type(path.name)[0] if path is not None else None
        return path if (kind or "").startswith(("audio/", "video/")) else None

    def find(self, address: str) -> str | None:
        """See `Shelf`."""
        wanted = _address(address)
        for each in self._catalogue().episodes:
            known = (each.about.link, each.about.audio, each.about.guid, each.source)
            if wanted and wanted in map(_address, known):
                return str(each.id)
        return None

    def search(self, query: str, wanted: Wanted, count: int, episode: str | None = None) -> Sequence[Hit]:
        """See `Shelf`."""
        if not self._searched(wanted):
            return []
        filters = self._filters(wanted, None if episode is None else self._episode(episode).id)
        return [_hit(hit) for hit in self._search.find(query, filters, count)]

    def ask(self, question: str, wanted: Wanted) -> Reply:
        """See `Shelf`."""
        if not self._searched(wanted):
            return Reply(())
        answers = asking.ask(self._search, question, self._filters(wanted), ANSWERS)
        hits = [
            replace(
                _hit(answer.hit),
                segment=answer.first,
                start=answer.start,
                text=answer.text,
                speaker=answer.speakers[0] if len(answer.speakers) == 1 else "",
                marks=(),
            )
            for answer in answers
        ]
        composed = self._compose(question, hits) if self._compose is not None and hits else Reply(())
        return composed if composed.lines else replace(composed, lines=tuple((hit.text, (hit,)) for hit in hits))

    def read(self, text: str, title: str, address: str) -> Shown:
        """See `Shelf`."""
        about, transcript = _read(text, title, address)
        return Shown(about, transcript, content_without_model(about, transcript), {})

    def take(self, text: str, title: str, address: str) -> str:
        """See `Shelf`. Its show is the site; `whet listen ADDRESS` finds the same episode."""
        place = urldefrag(address).url
        if not is_address(place):
            raise UsageError("only pages of the web can be kept")
        about, transcript = _read(text, title, place)
        with self._store.writing():
            show = self._store.add_show(urlsplit(place).hostname or "")
            number = self._store.add_episode(show, replace(about, guid=place), source=place)
            self._store.set_transcript(number, transcript)
        self.index()
        keep(self._store, number, content_without_model(about, transcript))
        return str(number)

    # -- what people put right --------------------------------------------------------------------------------------

    def rename(self, episode: str, names: Mapping[str, str], in_show: bool = False) -> None:
        """See `Shelf`."""
        found = self._episode(episode)
        changed = names
        if in_show:  # an empty box must not take names back in other episodes, where they may be right
            shown = {each.original: each.name for each in self._store.speakers(found.id)}
            changed = {who: name for who, name in names.items() if name or shown.get(who, who) != who}
        rename(self._store, found.id, changed, in_show)

    def correct(self, episode: str, names: Mapping[int, str]) -> None:
        """See `Shelf`."""
        found = self._episode(episode)
        with self._store.writing():
            for segment, name in names.items():
                self._store.name_segment(found.id, segment, _one_line(name) or None)

    def dismiss(self, episode: str, claim: str, dismissed: bool) -> None:
        """See `Shelf`."""
        found = self._episode(episode)
        content = kept_content(self._store, found.id)
        if content is None or claim not in {each.id for each in content.claims}:
            raise UsageError("the episode has no such claim")
        if dismissed:
            self._store.dismiss(found.id, claim)
        else:
            self._store.take_back_dismissal(found.id, claim)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _episode(self, episode: str) -> Episode:
        if not (episode.isascii() and episode.isdecimal() and len(episode) < 16):
            raise UnknownEpisode(f"there is no episode {episode[:50]!r}")
        try:
            return self._store.episode(int(episode))
        except UsageError as failure:
            raise UnknownEpisode(str(failure)) from None

    def _catalogue(self) -> _Catalogue:
        revision = self._store.revision()
        with self._lock:
            if self._known is None or self._known.revision != revision:
                found = tuple(each for each in self._store.episodes() if each.words)
                single = self._store.corrected_names()
                speakers = {
                    each.id: tuple(
                        dict.fromkeys(
                            [*(s.name for s in self._store.speakers(each.id) if s.name), *single.get(each.id, ())]
                        )
                    )
                    for each in found
                }
                self._known = _Catalogue(revision, found, speakers)
            return self._known

    def _entry(self, episode: Episode, speakers: Sequence[str]) -> Entry:
        content = kept_content(self._store, episode.id)
        opening = " ".join(line.text for line in content.paragraph[:2]) if content else episode.about.description
        people = tuple(name for name, _ in episode.about.people) or tuple(speakers[:4])
        about = episode.about
        return Entry(
            str(episode.id), about.title, about.show, about.published, about.seconds, people, _clipped(opening)
        )

    def _made(self, episode: Episode, transcript: Transcript) -> Content:
        """For an episode that nobody made a page of: what can be had without a model. It is kept."""
        chapters = self._store.chapters(episode.id)
        own = self._store.transcript(episode.id, renamed=False) or transcript
        content = content_without_model(episode.about, own, chapters)
        keep(self._store, episode.id, content)
        return content

    def _searched(self, wanted: Wanted) -> bool:
        """Whether any episode can hold a hit: a show that is unknown holds none."""
        return not wanted.show or wanted.show in self.shows()

    def _filters(self, wanted: Wanted, episode: int | None = None) -> Filters:
        shows = [show.id for show in self._store.shows() if show.title == wanted.show]
        return Filters(shows[0] if wanted.show and shows else None, episode, wanted.speaker, wanted.since, wanted.until)


def _read(text: str, title: str, address: str) -> tuple[About, Transcript]:
    reading = formats.read(text.encode("utf-8", "replace"), "the page's transcript", "transcript.txt")
    return About(title or reading.title, link=address), segments.transcript(reading)


def _fits(episode: Episode, wanted: Wanted, speakers: Sequence[str]) -> bool:
    day = episode.about.published[:10]
    return (
        (not wanted.show or episode.about.show == wanted.show)
        and (not wanted.speaker or wanted.speaker in speakers)
        and (not wanted.since or day >= wanted.since)
        and (not wanted.until or ("" < day <= wanted.until))
    )


def _hit(hit: FoundHit) -> Hit:
    return Hit(
        str(hit.episode),
        hit.title,
        hit.show,
        hit.published,
        hit.segment,
        hit.start,
        hit.speaker,
        hit.snippet,
        hit.marks,
    )


def _named(content: Content, transcript: Transcript) -> Content:
    """The content with each quote given to whoever says it in `transcript`, under the name that is shown there."""

    def by(quote: Quote) -> Quote:
        said = {word.speaker for word in transcript.words[quote.first : quote.end]}
        return replace(quote, speaker=said.pop() if quote.speaker and len(said) == 1 else "")

    def answered(each: Answered) -> Answered:
        return replace(each, answer=by(each.answer))

    def claim(each: Claim) -> Claim:
        return replace(each, said=by(each.said))

    return replace(
        content,
        quotes=tuple(map(by, content.quotes)),
        answered=tuple(map(answered, content.answered)),
        claims=tuple(map(claim, content.claims)),
    )


def _address(address: str) -> str:
    """Without what does not tell pages apart: the scheme, the fragment, a slash at the end."""
    plain = urldefrag(address.strip()).url
    for scheme in ("https://", "http://"):
        plain = plain.removeprefix(scheme)
    return plain.rstrip("/")


def _clipped(text: str, most: int = 320) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most].rsplit(" ", 1)[0] + " …"
