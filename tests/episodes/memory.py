"""A shelf in memory, for tests of the library's pages: it finds words where they stand and does nothing clever."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.episodes.conversation import transcript_of
from whetstone.episodes.content import Content, Line
from whetstone.episodes.library.shelf import Entry, Hit, Reply, Shown, UnknownEpisode, Wanted
from whetstone.episodes.store.corrections import corrected
from whetstone.episodes.transcript import Transcript
from whetstone.errors import UsageError


class MemoryShelf:
    """Episodes by id. `sounds`: id -> file."""

    def __init__(self, shown: Mapping[str, Shown], sounds: Mapping[str, Path] | None = None) -> None:
        self.shown = dict(shown)
        self.sounds = dict(sounds or {})
        self.single: dict[str, dict[int, str]] = {}
        self._published = {id: each.transcript for id, each in shown.items()}

    def _fitting(self, wanted: Wanted) -> list[tuple[str, Shown]]:
        def fits(shown: Shown) -> bool:
            day = shown.about.published[:10]
            called = {shown.names.get(each.speaker) or each.speaker for each in shown.transcript.segments}
            return (
                (not wanted.show or shown.about.show == wanted.show)
                and (not wanted.speaker or wanted.speaker in called)
                and (not wanted.since or day >= wanted.since)
                and (not wanted.until or day <= wanted.until)
            )

        found = [(id, shown) for id, shown in self.shown.items() if fits(shown)]
        return sorted(found, key=lambda each: each[1].about.published, reverse=True)

    def episodes(self, wanted: Wanted, title: str, first: int, count: int) -> tuple[Sequence[Entry], int]:
        fitting = [each for each in self._fitting(wanted) if title.lower() in each[1].about.title.lower()]
        entries = [
            Entry(
                id,
                shown.about.title,
                shown.about.show,
                shown.about.published,
                shown.about.seconds,
                tuple(name for name, _ in shown.about.people),
                " ".join(line.text for line in shown.content.paragraph[:2]),
            )
            for id, shown in fitting[first : first + count]
        ]
        return entries, len(fitting)

    def shows(self) -> Sequence[str]:
        return sorted({shown.about.show for shown in self.shown.values()} - {""})

    def speakers(self) -> Sequence[str]:
        all_of_them = {
            shown.names.get(each.speaker) or each.speaker
            for shown in self.shown.values()
            for each in shown.transcript.segments
        }
        return sorted(all_of_them - {""})

    def episode(self, episode: str) -> Shown:
        if episode not in self.shown:
            raise UnknownEpisode(f"there is no episode {episode}")
        return self.shown[episode]

    def voices(self, episode: str) -> tuple[Transcript, Mapping[str, str]]:
        return self._published[episode], self.episode(episode).names

    def corrections(self, episode: str) -> Mapping[int, str]:
        return self.single.get(episode, {})

    def audio(self, episode: str) -> Path | None:
        return self.sounds.get(episode)

    def find(self, address: str) -> str | None:
        return next((id for id, shown in self.shown.items() if address and shown.about.link == address), None)

    def search(self, query: str, wanted: Wanted, count: int, episode: str | None = None) -> Sequence[Hit]:
        words = [word.lower() for word in re.findall(r"\w+", query)]
        found = []
        for id, shown in self._fitting(wanted):
            if episode not in (None, id):
                continue
            for segment in shown.transcript.segments:
                text = shown.transcript.segment_text(segment.id)
                speaker = shown.names.get(segment.speaker) or segment.speaker
                if words and all(word in text.lower() for word in words) and wanted.speaker in ("", speaker):
                    about, start = shown.about, shown.transcript.start(segment.first)
                    marks = [each.span() for each in re.finditer("|".join(map(re.escape, words)), text, re.IGNORECASE)]
                    found.append(
                        Hit(
                            id,
                            about.title,
                            about.show,
                            about.published,
                            segment.id,
                            start,
                            speaker,
                            text,
                            tuple(marks),
                        )
                    )
        return found[:count]

    def ask(self, question: str, wanted: Wanted) -> Reply:
        hits = self.search(max(re.findall(r"\w+", question), key=len), wanted, 3)
        return Reply(tuple((hit.text, (hit,)) for hit in hits))

    def rename(self, episode: str, names: Mapping[str, str], in_show: bool = False) -> None:
        shown = self.episode(episode)
        if unknown := names.keys() - {segment.speaker for segment in shown.transcript.segments}:
            raise UsageError(f"nobody is called {min(unknown)!r} in this episode")
        called = {speaker: name for speaker, name in {**shown.names, **names}.items() if name}
        self.shown[episode] = replace(shown, names=called, version=shown.version + "+")

    def correct(self, episode: str, names: Mapping[int, str]) -> None:
        shown = self.episode(episode)
        given = {segment: name for segment, name in {**self.corrections(episode), **names}.items() if name}
        if max(given, default=0) >= len(shown.transcript.segments):
            raise UsageError("there is no such segment")
        self.single[episode] = given
        transcript = corrected(self._published[episode], {}, given)
        self.shown[episode] = replace(shown, transcript=transcript, version=shown.version + "+")

    def dismiss(self, episode: str, claim: str, dismissed: bool) -> None:
        shown = self.episode(episode)
        if claim not in {each.id for each in shown.content.claims}:
            raise UsageError("there is no such claim")
        claims = tuple(
            replace(each, dismissed=dismissed) if each.id == claim else each for each in shown.content.claims
        )
        content = replace(shown.content, claims=claims)
        self.shown[episode] = replace(shown, content=content, version=shown.version + "+")

    def take(self, text: str, title: str, address: str) -> str:
        self.shown["taken"] = replace(self.read(text, title, address), version="1")
        self._published["taken"] = self.shown["taken"].transcript
        return "taken"

    def read(self, text: str, title: str, address: str) -> Shown:
        from whetstone.episodes.content import About

        turns = re.findall(r"^([A-Z][\w ]+): (.+)$", text, re.MULTILINE)
        if not turns:
            raise UsageError("this is no transcript")
        transcript = transcript_of(turns)
        line = Line(transcript.segment_text(0), (0,))
        return Shown(About(title, link=address), transcript, Content(paragraph=(line,)), {})
