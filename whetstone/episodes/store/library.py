"""The library: shows, episodes, transcripts, speakers' names, quotes and dismissed claims."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from whetstone.episodes.content import About, Chapter, Quote
from whetstone.episodes.store import corrections, packing, schema
from whetstone.episodes.store.database import Database
from whetstone.episodes.transcript import Origin, Segment, Timing, Transcript
from whetstone.errors import UsageError

_EPISODES = """
    SELECT e.*, s.title AS show_title, t.words, t.origin, t.timing FROM episodes e
    JOIN shows s ON s.id = e.show LEFT JOIN transcripts t ON t.episode = e.id
"""


@dataclass(frozen=True)
class Show:
    """A series of episodes. `feed`: the address or file it came from, "" where it was put together by hand."""

    id: int
    title: str
    feed: str = ""
    link: str = ""
    description: str = ""
    language: str = ""


@dataclass(frozen=True)
class Episode:
    """An episode as the library knows it. `source`: where its transcript came from. `words` is 0, and `origin` and
    `timing` are None, while it has no transcript. `added`: when, in ISO form."""

    id: int
    show: int
    about: About
    source: str
    audio_sha256: str
    added: str
    words: int = 0
    origin: Origin | None = None
    timing: Timing | None = None


@dataclass(frozen=True)
class Speaker:
    """Somebody in an episode: the name in the transcript, the name that is shown, and how many segments they say."""

    original: str
    name: str
    segments: int


class Store(Database):
    """A library of episodes in one file."""

    # -- shows and episodes ---------------------------------------------------------------------------------------

    def add_show(self, title: str, feed: str = "", link: str = "", description: str = "", language: str = "") -> int:
        """The show's number; a show of the same feed (or, without one, the same title) is brought up to date."""
        with self.writing() as base:
            same = "feed = ? AND feed != ''" if feed else "feed = '' AND title = ?"
            found = base.execute(f"SELECT id FROM shows WHERE {same}", (feed or title,)).fetchone()
            if found is None:
                made = base.execute(
                    "INSERT INTO shows (title, feed, link, description, language) VALUES (?,?,?,?,?)",
                    (title, feed, link, description, language),
                )
                return int(made.lastrowid or 0)
            base.execute(
                "UPDATE shows SET title = ?, link = ?, description = ?, language = ? WHERE id = ?",
                (title, link, description, language, found[0]),
            )
            return int(found[0])

    def shows(self) -> list[Show]:
        """All shows, by title."""
        found = self.rows("SELECT id, title, feed, link, description, language FROM shows ORDER BY title, id")
        return [Show(*row) for row in found]

    def add_episode(
        self,
        show: int,
        about: About,
        *,
        source: str = "",
        audio_sha256: str = "",
        chapters: Sequence[tuple[float, str]] = (),
    ) -> int:
        """The episode's number. The same guid in the same show is the same episode, and is brought up to date; without
        a guid the title and the source make one. chapters: (seconds, title), as published."""
        guid = about.guid or hashlib.sha256(f"{about.title}\n{source}".encode()).hexdigest()[:32]
        values = (
            about.title, about.published, about.seconds, about.link, about.description, json.dumps(about.people),
            about.audio, audio_sha256, source, json.dumps([list(each) for each in chapters]),
        )  # fmt: skip
        with self.writing() as base:
            base.execute(
                """INSERT INTO episodes (show, guid, title, published, seconds, link, description, people, audio,
                    audio_sha256, source, chapters, added) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
                ON CONFLICT (show, guid) DO UPDATE SET title = excluded.title, published = excluded.published,
                    seconds = coalesce(excluded.seconds, seconds), link = excluded.link,
                    description = excluded.description, people = excluded.people, audio = excluded.audio,
                    audio_sha256 = iif(excluded.audio_sha256 = '', audio_sha256, excluded.audio_sha256),
                    source = iif(excluded.source = '', source, excluded.source),
                    chapters = iif(excluded.chapters = '[]', chapters, excluded.chapters)""",
                (show, guid, *values, _now()),
            )
            found = base.execute("SELECT id FROM episodes WHERE show = ? AND guid = ?", (show, guid)).fetchone()
            return int(found[0])

    def episode(self, episode: int) -> Episode:
        """One episode. Raises UsageError where there is none of that number."""
        row = self.row(f"{_EPISODES} WHERE e.id = ?", (episode,))
        if row is None:
            raise UsageError(f"the library has no episode {episode}")
        return _episode(row)

    def episodes(self, show: int | None = None) -> list[Episode]:
        """All episodes, or a show's; the latest first."""
        where = "WHERE e.show = ?" if show is not None else ""
        rows = self.rows(
            f"{_EPISODES} {where} ORDER BY e.published DESC, e.id DESC", (show,) if show is not None else ()
        )
        return [_episode(row) for row in rows]

    def find_episode(self, show: int, guid: str) -> int | None:
        """The number of the show's episode with this guid."""
        row = self.row("SELECT id FROM episodes WHERE show = ? AND guid = ?", (show, guid))
        return None if row is None else int(row[0])

    def remove_episode(self, episode: int) -> None:
        """Take an episode out, with all that was made of it. A show that has no other goes too. Raises UsageError
        where there is no such episode."""
        with self.writing() as base:
            show = self.episode(episode).show
            _forget_transcript(base, episode)
            base.execute("DELETE FROM episodes WHERE id = ?", (episode,))
            base.execute("DELETE FROM shows WHERE id = ? AND id NOT IN (SELECT show FROM episodes)", (show,))

    # -- transcripts ----------------------------------------------------------------------------------------------

    def set_transcript(self, episode: int, transcript: Transcript) -> bool:
        """Keep an episode's transcript and put it into the full-text index; False where the same was there already.

        Another one replaces it, and what was made of the old one (vectors, quotes, stages) is forgotten; speakers'
        names stay, and those of single sentences that are said in the new one too. Raises UsageError where there is no
        such episode.
        """
        if len(transcript.segments) >= 1 << schema.SHIFT:
            raise ValueError("more segments than a library can number")
        packed = packing.pack(transcript.words)
        with self.writing() as base:
            self.episode(episode)
            if self._holds(episode, transcript, packed):
                return False
            given = corrections.told(base, episode)
            _forget_transcript(base, episode)
            about = (transcript.timing.value, transcript.origin.value, transcript.language)
            base.execute(
                "INSERT INTO transcripts VALUES (?,?,?,?,?,?)", (episode, *about, len(transcript.words), packed)
            )
            begin = episode << schema.SHIFT
            rows = [
                (
                    begin + each.id, each.first, each.end - each.first, each.speaker, each.paragraph,
                    transcript.words[each.first].start, transcript.words[each.end - 1].end,
                    transcript.segment_text(each.id),
                )
                for each in transcript.segments
            ]  # fmt: skip
            base.executemany("INSERT INTO segments VALUES (?,?,?,?,?,?,?,?)", rows)
            again = corrections.found_again(given, transcript)
            base.executemany(
                "INSERT INTO overrides VALUES (?,?)", [(begin + segment, name) for segment, name in again.items()]
            )
            voices = Counter(each.speaker for each in transcript.segments)
            base.executemany("INSERT INTO voices VALUES (?,?,?)", [(episode, *each) for each in voices.items()])
            base.execute(
                "INSERT INTO spoken (rowid, text) SELECT id, text FROM segments WHERE id BETWEEN ? AND ?",
                _range(episode),
            )
        return True

    def _holds(self, episode: int, transcript: Transcript, packed: bytes) -> bool:
        row = self.row("SELECT * FROM transcripts WHERE episode = ?", (episode,))
        if row is None or row["packed"] != packed:
            return False
        about = (transcript.timing.value, transcript.origin.value, transcript.language)
        return (row["timing"], row["origin"], row["language"]) == about and self._segments(episode) == list(
            transcript.segments
        )

    def _segments(self, episode: int) -> list[Segment]:
        rows = self.rows(
            "SELECT id, first, count, speaker, paragraph FROM segments WHERE id BETWEEN ? AND ? ORDER BY id",
            _range(episode),
        )
        begin = episode << schema.SHIFT
        return [Segment(id - begin, first, first + count, who, bool(new)) for id, first, count, who, new in rows]

    def transcript(self, episode: int, *, as_published: bool = False, renamed: bool = True) -> Transcript | None:
        """An episode's transcript with what people put right by hand; None while it has none.

        as_published: without any of it. renamed: with the names that were given to speakers; else with the transcript's
        own ones, by which the other stages know them, and only the speakers of single sentences put right.
        """
        with self.reading():
            row = self.row("SELECT * FROM transcripts WHERE episode = ?", (episode,))
            if row is None:
                return None
            segments = self._segments(episode)
            names = {} if as_published else dict(self._pairs("renames", "speaker, name", episode))
            single = {} if as_published else self.corrections(episode)
        if not renamed:
            own = {name: speaker for speaker, name in names.items()}
            names, single = {}, {segment: own.get(name, name) for segment, name in single.items()}
        found = Transcript(
            packing.unpack(row["packed"]),
            tuple(segments),
            Timing(row["timing"]),
            Origin(row["origin"]),
            row["language"],
        )
        return corrections.corrected(found, names, single)

    def _pairs(self, table: str, columns: str, episode: int) -> list[tuple[str, str]]:
        return [tuple(row) for row in self.rows(f"SELECT {columns} FROM {table} WHERE episode = ?", (episode,))]

    def optimise(self) -> None:
        """Fold the full-text index into one piece; worth it after many imports."""
        with self.writing() as base:
            base.execute("INSERT INTO spoken (spoken) VALUES ('optimize')")

    # -- speakers -------------------------------------------------------------------------------------------------

    def speakers(self, episode: int) -> list[Speaker]:
        """Who speaks in an episode, the most talkative first; those without a name are ""."""
        rows = self.rows(
            """SELECT v.speaker, coalesce(r.name, v.speaker), v.segments FROM voices v
            LEFT JOIN renames r ON r.episode = v.episode AND r.speaker = v.speaker
            WHERE v.episode = ? ORDER BY v.segments DESC, v.speaker""",
            (episode,),
        )
        return [Speaker(*row) for row in rows]

    def rename_speaker(self, episode: int, speaker: str, name: str) -> None:
        """Show `name` for the speaker whom the transcript calls `speaker`; the transcript's own name takes it back."""
        self._known(episode, speaker)
        before = next(each.name for each in self.speakers(episode) if each.original == speaker)
        with self.writing() as base:
            # single sentences that were given to them by hand stay theirs
            base.execute(
                "UPDATE overrides SET name = ? WHERE name = ? AND segment BETWEEN ? AND ?",
                (name, before, *_range(episode)),
            )
            if name == speaker:
                base.execute("DELETE FROM renames WHERE episode = ? AND speaker = ?", (episode, speaker))
            else:
                base.execute("INSERT OR REPLACE INTO renames VALUES (?,?,?)", (episode, speaker, name))

    def rename_speaker_in_show(self, show: int, speaker: str, name: str) -> int:
        """`rename_speaker` in every episode of a show where they speak; returns how many."""
        found = 0
        with self.writing():
            for episode in self.episodes(show):
                if any(each.original == speaker for each in self.speakers(episode.id)):
                    self.rename_speaker(episode.id, speaker, name)
                    found += 1
        return found

    def corrections(self, episode: int) -> dict[int, str]:
        """Segment -> who says it, where a person put the transcript right."""
        rows = self.rows("SELECT segment, name FROM overrides WHERE segment BETWEEN ? AND ?", _range(episode))
        begin = episode << schema.SHIFT
        return {segment - begin: name for segment, name in rows}

    def corrected_names(self) -> dict[int, tuple[str, ...]]:
        """Episode -> the names that were given to single sentences of it."""
        found: dict[int, tuple[str, ...]] = {}
        for episode, name in self.rows(f"SELECT DISTINCT segment >> {schema.SHIFT}, name FROM overrides"):
            found[episode] = (*found.get(episode, ()), name)
        return found

    def name_segment(self, episode: int, segment: int, name: str | None) -> None:
        """Say who speaks in one segment, against the transcript; None takes it back. Raises UsageError where there is
        no such segment."""
        id = (episode << schema.SHIFT) + segment
        found = self.row("SELECT speaker FROM segments WHERE id = ?", (id,))
        if found is None:
            raise UsageError(f"episode {episode} has no segment {segment}")
        shown = {each.original: each.name for each in self.speakers(episode)}
        called = name if name is None or name in shown.values() else shown.get(name, name)
        with self.writing() as base:
            if called is None or called == shown.get(found[0]):
                base.execute("DELETE FROM overrides WHERE segment = ?", (id,))
            else:
                base.execute("INSERT OR REPLACE INTO overrides VALUES (?,?)", (id, called))

    def _known(self, episode: int, speaker: str) -> None:
        known = [each.original for each in self.speakers(episode)]
        if speaker not in known:
            raise UsageError(
                f"nobody is called {speaker!r} in episode {episode}: there are {', '.join(known) or 'none'}"
            )

    # -- what pages and people add --------------------------------------------------------------------------------

    def set_quotes(self, episode: int, quotes: Iterable[Quote]) -> None:
        """Keep which words of an episode were quoted on its page, for the search's filter."""
        rows = [(episode, quote.first, quote.end, quote.speaker) for quote in quotes]
        with self.writing() as base:
            base.execute("DELETE FROM quotes WHERE episode = ?", (episode,))
            base.executemany("INSERT OR REPLACE INTO quotes VALUES (?,?,?,?)", rows)

    def dismiss(self, episode: int, claim: str, reason: str = "") -> None:
        """A person says that a claim (its id) is not worth showing; that is kept."""
        with self.writing() as base:
            base.execute("INSERT OR REPLACE INTO dismissed VALUES (?,?,?,?)", (episode, claim, reason, _now()))

    def take_back_dismissal(self, episode: int, claim: str) -> None:
        """Show the claim again."""
        with self.writing() as base:
            base.execute("DELETE FROM dismissed WHERE episode = ? AND claim = ?", (episode, claim))

    def dismissed(self, episode: int) -> dict[str, str]:
        """Claims of an episode that were dismissed, with the reasons."""
        return dict(self._pairs("dismissed", "claim, reason", episode))

    def chapters(self, episode: int) -> tuple[Chapter, ...]:
        """The publisher's chapters, each from the first segment that begins at its time; none without times."""
        row = self.row("SELECT chapters FROM episodes WHERE id = ?", (episode,))
        found: dict[int, str] = {}
        for seconds, title in json.loads(row[0]) if row else []:
            begins = self.row(
                "SELECT min(id) FROM segments WHERE id BETWEEN ? AND ? AND start >= ?",
                (*_range(episode), seconds - 0.5),
            )
            if begins is not None and begins[0] is not None:
                found.setdefault(begins[0] - (episode << schema.SHIFT), title)
        return tuple(Chapter(title, segment) for segment, title in sorted(found.items()))


def _episode(row: sqlite3.Row) -> Episode:
    about = About(
        row["title"], row["show_title"], row["published"], row["seconds"], row["guid"], row["link"],
        row["description"], tuple((name, role) for name, role in json.loads(row["people"])), row["audio"],
    )  # fmt: skip
    return Episode(
        row["id"], row["show"], about, row["source"], row["audio_sha256"], row["added"], row["words"] or 0,
        Origin(row["origin"]) if row["origin"] else None, Timing(row["timing"]) if row["timing"] else None,
    )  # fmt: skip


def _forget_transcript(base: sqlite3.Connection, episode: int) -> None:
    begin, end = _range(episode)
    base.execute(
        "INSERT INTO spoken (spoken, rowid, text) SELECT 'delete', id, text FROM segments WHERE id BETWEEN ? AND ?",
        (begin, end),
    )
    base.execute("DELETE FROM segments WHERE id BETWEEN ? AND ?", (begin, end))
    base.execute("DELETE FROM overrides WHERE segment BETWEEN ? AND ?", (begin, end))
    base.execute("DELETE FROM vectors WHERE kind = 'episode' AND owner = ?", (episode,))
    base.execute("UPDATE state SET value = value + 1 WHERE key = 'vectors'")
    for table in ("transcripts", "voices", "quotes"):
        base.execute(f"DELETE FROM {table} WHERE episode = ?", (episode,))
    # what was heard belongs to the sound, and is what a transcript is made from
    base.execute("DELETE FROM stages WHERE episode = ? AND substr(stage, 1, 5) != 'hear/'", (episode,))


def _range(episode: int) -> tuple[int, int]:
    """The first and the last row id that segments of an episode can have."""
    begin = episode << schema.SHIFT
    return begin, begin + (1 << schema.SHIFT) - 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
