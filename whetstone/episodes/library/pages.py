"""The library's pages from what the shelf says."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from whetstone.episodes.library.found import marked, samples
from whetstone.episodes.library.sentences import stretch
from whetstone.episodes.library.shelf import Hit, Shelf, UnknownEpisode, Wanted
from whetstone.episodes.page.render import Desk, render
from whetstone.episodes.page.templates import fill, read

ON_A_PAGE = 50  # episodes
HITS = 50
KEPT = 8  # rendered episodes


class Pages:
    """Makes pages; keeps the last few episodes' ones until they change. `base`: where the library is mounted."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kept: OrderedDict[tuple[str, str, str], dict[str, str]] = OrderedDict()
        self._lock = threading.Lock()
        self.style = read("page/base.css") + read("library/library.css")

    def index(self, base: str, wanted: Wanted, title: str, page: int) -> str:
        """The list of episodes."""
        entries, count = self._shelf.episodes(wanted, title, (page - 1) * ON_A_PAGE, ON_A_PAGE)
        asked = {name: value for name, value in _fields(wanted, title=title).items() if value}
        pages = -(-count // ON_A_PAGE)

        def at(number: int) -> str:
            return f"{base}/?{urlencode(asked | {'page': number})}"

        return self._fill(
            "index",
            base,
            wanted,
            title=title,
            entries=[(entry, self._address(base, entry.id)) for entry in entries],
            count=count,
            page=page,
            pages=pages,
            filtered=bool(asked),
            before=at(page - 1) if 1 < page <= pages else None,
            after=at(page + 1) if page < pages else None,
        )

    def search(self, base: str, wanted: Wanted, query: str) -> str:
        """The search and what it found."""
        hits = self._shelf.search(query, wanted, HITS) if query else ()
        groups: dict[str, list[Hit]] = {}
        for hit in hits:
            groups.setdefault(hit.episode, []).append(hit)
        found = [
            (group[0], self._address(base, id), [self._hit(base, hit) for hit in group]) for id, group in groups.items()
        ]
        return self._fill("search", base, wanted, query=query, groups=found, count=len(hits), most=HITS)

    def ask(self, base: str, wanted: Wanted, question: str) -> str:
        """The question's form and the answer."""
        reply = self._shelf.ask(question, wanted) if question else None
        lines = (
            []
            if reply is None
            else [
                # a line that only repeats its one passage is not said twice
                ("" if [text] == [hit.text for hit in hits] else text, [self._hit(base, hit) for hit in hits])
                for text, hits in reply.lines
            ]
        )
        return self._fill(
            "ask",
            base,
            wanted,
            question=question,
            lines=lines,
            made_by=None if reply is None else reply.made_by,
            problem="" if reply is None else reply.problem,
        )

    def speakers(self, base: str, episode: str) -> str:
        """The form that names an episode's speakers, with what each of them said."""
        shown = self._shelf.episode(episode)
        page = self._address(base, episode)
        transcript, names = self._shelf.voices(episode)
        rows = []
        for number, (speaker, segments) in enumerate(samples(transcript).items()):
            excerpts = [
                {
                    "text": _clipped(transcript.segment_text(segment)),
                    "start": transcript.start(transcript.segments[segment].first),
                    "href": f"{page}#s{segment}",
                }
                for segment in segments
            ]
            rows.append({"speaker": speaker, "name": names.get(speaker, ""), "id": number, "said": excerpts})
        known = sorted({*self._shelf.speakers(), *(name for name, _ in shown.about.people)})
        return self._fill("speakers", base, Wanted(), about=shown.about, rows=rows, page=page, known=known)

    def sentences(self, base: str, episode: str, at: int) -> str:
        """The form that puts right who says single sentences, around segment `at`. Raises UnknownEpisode."""
        shown = self._shelf.episode(episode)
        page = self._address(base, episode)
        published, names = self._shelf.voices(episode)
        given, transcript = self._shelf.corrections(episode), shown.transcript
        if not 0 <= at < len(transcript.segments):
            raise UnknownEpisode(f"episode {episode} has no sentence {at}")
        part = stretch(transcript, at)
        rows = [
            {
                "segment": segment,
                "text": transcript.segment_text(segment),
                "start": transcript.start(transcript.segments[segment].first),
                "href": f"{page}#s{segment}",
                "shown": shown.names.get(transcript.segments[segment].speaker) or transcript.segments[segment].speaker,
                "given": given.get(segment, ""),
                "published": names.get(published.segments[segment].speaker) or published.segments[segment].speaker,
                "in_turn": part.turn_first <= segment < part.turn_end,
            }
            for segment in range(part.first, part.end)
        ]
        return self._fill(
            "sentences",
            base,
            Wanted(),
            about=shown.about,
            rows=rows,
            page=page,
            at=at,
            turn=(part.turn_first, part.turn_end),
            before=part.turn_first - 1 if part.turn_first else None,
            after=part.turn_end if part.turn_end < len(transcript.segments) else None,
            speakers_page=f"{page}speakers",
            known=sorted({*self._shelf.speakers(), *(name for name, _ in shown.about.people)}),
        )

    def episode(self, base: str, episode: str) -> dict[str, str]:
        """The files of an episode's page. Raises UnknownEpisode."""
        shown = self._shelf.episode(episode)
        key = (base, episode, shown.version)
        with self._lock:
            if key in self._kept and shown.version:
                self._kept.move_to_end(key)
                return self._kept[key]
        about = shown.about
        if self._shelf.audio(episode) is not None:
            about = replace(about, audio="audio")
        page = self._address(base, episode)
        desk = Desk(f"{base}/", f"{base}/search", f"{page}speakers", f"{page}dismiss", f"{page}sentences")
        files = render(about, shown.transcript, shown.content, shown.names, desk)
        with self._lock:
            self._kept[key] = files
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return files

    def message(self, base: str, what: str) -> str:
        """A page that says what is wrong."""
        return fill("library/message.html.j2", base=base, title="That did not work", what=what)

    def _fill(self, name: str, base: str, wanted: Wanted, **values: Any) -> str:
        return fill(
            f"library/{name}.html.j2",
            base=base,
            wanted=wanted,
            shows=self._shelf.shows(),
            speakers=self._shelf.speakers(),
            **values,
        )

    @staticmethod
    def _address(base: str, episode: str) -> str:
        return f"{base}/e/{quote(episode, safe='')}/"

    def _hit(self, base: str, hit: Hit) -> dict[str, Any]:
        return {
            "hit": hit,
            "text": marked(hit.text, hit.marks),
            "href": f"{self._address(base, hit.episode)}#s{hit.segment}",
        }


def _fields(wanted: Wanted, **more: str) -> dict[str, str]:
    return {
        "show": wanted.show,
        "speaker": wanted.speaker,
        "since": wanted.since,
        "until": wanted.until,
        **more,
    }


def _clipped(text: str, words: int = 60) -> str:
    parts = text.split()
    return text if len(parts) <= words else " ".join(parts[:words]) + " …"
